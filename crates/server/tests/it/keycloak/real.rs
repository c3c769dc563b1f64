//! A real Keycloak of this test process, so that what is tested is the server and not our idea of it.
//!
//! Tests take [`RealKeycloak::shared`], one server per process, and a realm of their own from [`RealKeycloak::realm`]: that
//! takes a second, a start a quarter of a minute. `scripts/ensure-keycloak.sh` says where the server is.
//! Invariant: the server does not outlive the test process, however that ends: a watchdog shell holds the reading end of a
//! pipe whose other end is ours alone, and ends the server's process group when the pipe closes.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use store::testing::postgres::is_short_run;

use super::http::{Http, Reply};
use super::realm::{Realm, RealmOptions};

/// Generous: a loaded machine is no reason for a failing test. A quiet one starts in 15 seconds.
const DEADLINE: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(50);

const ADMIN_CLIENT: &str = "tests-admin";

/// $1 is a folder; the line read is a process group. Ends both at the end of input.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
server=0
while read -r line; do server=$line; done
if [ "$server" -gt 0 ]; then
    kill -s TERM -- "-$server" 2>/dev/null
    rounds=0
    while kill -s 0 -- "-$server" 2>/dev/null && [ "$rounds" -lt 100 ]; do sleep 0.1; rounds=$((rounds + 1)); done
    kill -s KILL -- "-$server" 2>/dev/null
fi
rm -rf "$1"
"#;

/// A running server.
#[derive(Debug)]
pub(crate) struct RealKeycloak {
    /// `http://localhost:port`. One spelling for everything: tokens name the host that they were asked of.
    pub(crate) base_url: String,
    /// Of the service account of `master`: a new one for each server.
    admin_secret: String,
    realms: AtomicU32,
    server: Mutex<Child>,
    _watchdog: (Child, ChildStdin),
}

/// How a server is started.
#[derive(Debug, Default)]
pub(crate) struct Start {
    /// Zero: the system chooses.
    pub(crate) port: u16,
    /// Beside the service account that the tests use: a person who may log in at the admin console.
    pub(crate) admin: Option<(String, String)>,
}

/// Whether tests of the real server are left out of this run (`make test-short`). Says so.
pub(crate) fn left_out() -> bool {
    let left_out = is_short_run();
    if left_out {
        eprintln!("left out: needs Keycloak, and TEST_SHORT is set");
    }
    left_out
}

impl RealKeycloak {
    /// The server that all tests of this process share, started at the first call.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceLock<RealKeycloak> = OnceLock::new();
        tokio::task::spawn_blocking(|| SHARED.get_or_init(|| Self::start(&Start::default()))).await.unwrap()
    }

    /// A realm of its own, made from the file in `deploy/keycloak`.
    pub(crate) async fn realm(&'static self, options: RealmOptions) -> Realm {
        self.realm_named(&format!("realm-{}", self.realms.fetch_add(1, Ordering::Relaxed)), options).await
    }

    /// The same with a name that the caller chooses.
    pub(crate) async fn realm_named(&'static self, name: &str, options: RealmOptions) -> Realm {
        let realm = Realm::new(self, name);
        let body = options.representation(name, &realm.client_secret);
        self.admin("POST", "/admin/realms", Some(body)).await.expect(201);
        realm
    }

    /// Whether the server still runs.
    pub(crate) fn is_running(&self) -> bool {
        self.server.lock().unwrap().try_wait().unwrap().is_none()
    }

    /// A call of the Admin API by one who may do everything; the path begins with `/admin`.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let token = self.admin_token().await;
        Http::new().send(method, &format!("{}{path}", self.base_url), &[("authorization", &token)], body).await
    }

    /// A bearer's header. The token lives for a minute, so each call takes a new one: 10 ms.
    async fn admin_token(&self) -> String {
        let url = format!("{}/realms/master/protocol/openid-connect/token", self.base_url);
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", ADMIN_CLIENT),
            ("client_secret", self.admin_secret.as_str()),
        ];
        let reply = Http::new().post_form(&url, &form).await.expect(200);
        format!("Bearer {}", reply.body["access_token"].as_str().unwrap())
    }

    /// A server of the caller's own, as started. It blocks until the server is ready.
    pub(crate) fn start(options: &Start) -> Self {
        let folder = tempfile::Builder::new().prefix("tenant-registry-keycloak-").tempdir().unwrap().keep();
        let (watchdog, mut line) = watchdog(&folder);
        let admin_secret = random_text();
        let mut server = command(&folder, options, &admin_secret).spawn().unwrap();
        writeln!(line, "{}", server.id()).unwrap();
        let base_url = wait_until_ready(&folder.join("log"), &mut server);
        Self {
            base_url,
            admin_secret,
            realms: AtomicU32::new(0),
            server: Mutex::new(server),
            _watchdog: (watchdog, line),
        }
    }
}

/// The server's own process, out of reach of the terminal's signals, in a group of its own.
fn command(folder: &Path, options: &Start, admin_secret: &str) -> Command {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let script = root().join("scripts/ensure-keycloak.sh");
    let mut command = Command::new("sh");
    command
        .arg(script)
        .args(["--find", "sh", "-c", r#"exec "$TEST_KEYCLOAK_HOME/bin/kc.sh" "$@""#, "kc"])
        // The build options of the script's first start, or the server would arrange itself anew.
        .args(["start-dev", "--db=dev-mem", &format!("--http-port={}", options.port)]);
    // Each of these would be an option of the server.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"KC_")) {
        command.env_remove(name);
    }
    if let Some((name, password)) = &options.admin {
        command.env("KC_BOOTSTRAP_ADMIN_USERNAME", name).env("KC_BOOTSTRAP_ADMIN_PASSWORD", password);
    }
    command
        .env("KC_BOOTSTRAP_ADMIN_CLIENT_ID", ADMIN_CLIENT)
        .env("KC_BOOTSTRAP_ADMIN_CLIENT_SECRET", admin_secret)
        .env("JAVA_OPTS_APPEND", "-XX:-UseG1GC -XX:+UseSerialGC -XX:TieredStopAtLevel=1")
        .current_dir(folder)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command
}

/// Waits for the line that says where it listens, and gives that address.
fn wait_until_ready(log: &Path, server: &mut Child) -> String {
    let begin = Instant::now();
    loop {
        let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
        // A line that is still being written has no end yet.
        if let Some((_, rest)) = text.split_once("Listening on: ").filter(|(_, rest)| rest.contains('\n')) {
            return rest.split_whitespace().next().unwrap().trim_end_matches('.').to_owned();
        }
        let ended = server.try_wait().unwrap();
        assert!(ended.is_none() && begin.elapsed() < DEADLINE, "Keycloak does not start ({ended:?}):\n{text}");
        std::thread::sleep(POLL);
    }
}

fn watchdog(folder: &Path) -> (Child, ChildStdin) {
    let mut process = Command::new("sh")
        .args(["-c", WATCHDOG, "keycloak-watchdog"])
        .arg(folder)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let line = process.stdin.take().unwrap();
    (process, line)
}

/// 128 bits of randomness, as text.
pub(crate) fn random_text() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The repository.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

#[tokio::test]
async fn the_server_of_the_tests_is_ready_and_makes_realms() {
    if left_out() {
        return;
    }
    let keycloak = RealKeycloak::shared().await;
    let realm = keycloak.realm(RealmOptions::default()).await;
    let other = keycloak.realm(RealmOptions::default()).await;
    assert_ne!(realm.name, other.name);
    let reply = Http::new().get(&format!("{}/.well-known/openid-configuration", realm.issuer)).await.expect(200);
    assert_eq!(reply.body["issuer"], realm.issuer);
    // The service account of the realm's file may make organizations, and nothing but what it was given.
    let token = realm.service_token().await;
    let made =
        realm.as_bearer(&token, "POST", "/organizations", Some(json!({ "name": "Acme", "alias": "acme" }))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(made.header("location").starts_with(&format!("{}/admin/realms/{}/", realm.base_url, realm.name)));
    assert_eq!(realm.as_bearer(&token, "GET", "/clients", None).await.status, 403);
}
