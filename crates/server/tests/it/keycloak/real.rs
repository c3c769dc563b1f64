//! A real Keycloak of this test process, so that what is tested is the server and not our idea of it.
//!
//! Tests take [`RealKeycloak::shared`], one server per process, and a realm of their own from [`RealKeycloak::realm`]: that
//! takes a second, a start a quarter of a minute. `scripts/ensure-keycloak.sh` says where the server is.
//! Invariant: the server does not outlive this process, however that ends (`watchdog.rs`).

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use store::testing::postgres::is_short_run;

use super::http::{Http, Reply};
use super::realm::{Realm, RealmOptions, realm_file};
use super::watchdog::Watchdog;

/// Generous: a loaded machine is no reason for a failing test. A quiet one starts in 15 seconds.
const DEADLINE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(50);

const ADMIN_CLIENT: &str = "tests-admin";

/// A running server.
#[derive(Debug)]
pub(crate) struct RealKeycloak {
    /// `http://localhost:port`. One spelling for everything: tokens name the host that they were asked of.
    pub(crate) base_url: String,
    /// Of the service account of `master`: a new one for each server.
    admin_secret: String,
    realms: AtomicU32,
    server: Mutex<Child>,
    watchdog: Mutex<Watchdog>,
}

/// How a server is started.
#[derive(Debug, Default)]
pub(crate) struct Start {
    /// Zero: the system chooses.
    pub(crate) port: u16,
    /// Beside the service account that the tests use: a person who may log in at the admin console.
    pub(crate) admin: Option<(String, String)>,
    /// Variables with which the server itself imports the realm file, as operators do; none are no import.
    pub(crate) import: Vec<(&'static str, String)>,
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
        // A start that failed is not tried again by every test.
        static SHARED: OnceLock<Option<RealKeycloak>> = OnceLock::new();
        let start = || std::panic::catch_unwind(|| Self::start(&Start::default())).ok();
        let shared = tokio::task::spawn_blocking(move || SHARED.get_or_init(start)).await.unwrap();
        shared.as_ref().unwrap_or_else(|| panic!("Keycloak did not start: see the test that was first"))
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

    /// Ends the server, and waits until it has ended.
    pub(crate) fn end(&self) {
        self.watchdog.lock().unwrap().end_with(&mut self.server.lock().unwrap());
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
        let mut watchdog = Watchdog::start(&folder);
        let admin_secret = random_text();
        let mut server = command(&folder, options, &admin_secret).spawn().unwrap();
        watchdog.watch(&server);
        let base_url = wait_until_ready(&folder.join("log"), &mut server);
        Self {
            base_url,
            admin_secret,
            realms: AtomicU32::new(0),
            server: Mutex::new(server),
            watchdog: Mutex::new(watchdog),
        }
    }
}

/// The server's own process, out of reach of the terminal's signals, in a group of its own.
fn command(folder: &Path, options: &Start, admin_secret: &str) -> Command {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new("sh");
    command
        .arg(script())
        .args(["--find", "sh", "-c", r#"exec "$TEST_KEYCLOAK_HOME/bin/kc.sh" "$@""#, "kc"])
        // The build options of the script's first start, or the server would arrange itself anew.
        .args(["start-dev", "--db=dev-mem", &format!("--http-port={}", options.port)]);
    if !options.import.is_empty() {
        command.arg("--import-realm").env("TEST_KEYCLOAK_HOME", home_with_import(folder));
        command.envs(options.import.iter().map(|(name, value)| (name, value)));
    }
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

fn script() -> PathBuf {
    root().join("scripts/ensure-keycloak.sh")
}

/// A server of its own: an import is taken from a folder inside it.
fn home_with_import(folder: &Path) -> PathBuf {
    let found = Command::new("sh").arg(script()).arg("--find").stdin(Stdio::null()).output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let home = folder.join("home");
    let copied = Command::new("cp").arg("-a").arg(String::from_utf8(found.stdout).unwrap().trim()).arg(&home).status();
    assert!(copied.unwrap().success());
    std::fs::create_dir_all(home.join("data/import")).unwrap();
    std::fs::write(home.join("data/import/breakpilot-dev-realm.json"), realm_file()).unwrap();
    home
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
