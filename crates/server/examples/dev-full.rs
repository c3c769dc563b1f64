//! `make dev-full`: the service with PostgreSQL, Keycloak with realm and mapper, and a mail sink, on one machine.
//!
//! It starts what the tests start, by the same code, and the service as its users do; nothing of it is in the product.
//! Settings: `ADDR`, and the ports `KEYCLOAK_PORT`, `MAIL_SMTP_PORT`, `MAIL_HTTP_PORT`; 0 lets the system choose.
//! Invariant: nothing runs any more when this has ended, whether by Ctrl-C, TERM, a child that died, or SIGKILL.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "for developers: a failure is the answer")]

#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/keycloak/mod.rs"]
mod keycloak;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use keycloak::http::Http;
use keycloak::real::{RealKeycloak, Start, random_text};
use keycloak::realm::{Realm, RealmOptions};
use keycloak::sink::MailSink;
use keycloak::watchdog::Watchdog;
use store::testing::postgres::Cluster;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const REALM: &str = "breakpilot-dev";
const ROOT: &str = "root@breakpilot.test";
const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let code = runtime.block_on(run());
    // A start that is still under way on a thread of its own is not waited for: its watchdog ends what it started.
    runtime.shutdown_background();
    code
}

async fn run() -> ExitCode {
    // Taken first, so that a Ctrl-C while things start is answered in order too.
    let [mut interrupt, mut terminate, mut hang_up] =
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(|kind| signal(kind).unwrap());
    let ended = async {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = hang_up.recv() => {} }
    };
    tokio::select! {
        () = ended => {
            eprintln!("\nEnding.");
            ExitCode::SUCCESS
        }
        what = stay() => {
            eprintln!("\n{what} has ended; so does the rest.");
            ExitCode::FAILURE
        }
    }
    // What was started is dropped with the future: the service first, then Keycloak and PostgreSQL.
}

/// Starts everything, says where it is, and comes back with the name of what ended first.
async fn stay() -> &'static str {
    let platform = Platform::start().await;
    let service = Service::start(&platform).await;
    platform.introduce(&service).await;
    loop {
        tokio::time::sleep(POLL).await;
        if service.has_ended() {
            return "The service";
        }
        if !platform.keycloak.0.is_running() {
            return "Keycloak";
        }
    }
}

/// What the service needs.
struct Platform {
    database: String,
    realm: Realm,
    sink: MailSink,
    root_password: String,
    admin_password: String,
    dev_token: String,
    keycloak: Ending,
    _cluster: Option<Cluster>,
}

/// Ends Keycloak when dropped: a realm keeps a reference to its server for as long as the process lives.
struct Ending(&'static RealKeycloak);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Platform {
    async fn start() -> Self {
        eprintln!("Starting PostgreSQL and Keycloak; that takes half a minute.");
        let sink = MailSink::on(listener("MAIL_SMTP_PORT", 1025).await, listener("MAIL_HTTP_PORT", 8025).await);
        let (cluster, database) = tokio::task::spawn_blocking(start_postgres).await.unwrap();
        registry(&database, &["migrate", "up"]);
        let key = ["keys", "create", "--name", "keycloak mapper", "--scope", "registry:internal"];
        let mapper_key = registry(&database, &key);

        let admin_password = random_text();
        let admin = Some(("admin".to_owned(), admin_password.clone()));
        let start = Start { port: port("KEYCLOAK_PORT", 8080), admin, import: Vec::new() };
        let keycloak = tokio::task::spawn_blocking(move || RealKeycloak::start(&start)).await.unwrap();
        let keycloak = Ending(Box::leak(Box::new(keycloak)));
        let options = RealmOptions::of_the_file()
            .smtp(sink.smtp)
            .mapper(&service_url(), &mapper_key)
            .variable("CONSOLE_URL", &service_url());
        let realm = keycloak.0.realm_named(REALM, options).await;
        let root_password = random_text();
        realm.make_user_with(ROOT, &root_password, &["PLATFORM_ADMIN"]).await;
        let dev_token = format!("dev-{}", random_text());
        Self { database, realm, sink, root_password, admin_password, dev_token, keycloak, _cluster: cluster }
    }

    async fn introduce(&self, service: &Service) {
        let ready = format!("{}/readyz", service_url());
        let begin = Instant::now();
        // Before it listens a connection is refused, which this client takes for the end: so look first.
        while !is_open(&ready).await || Http::new().get(&ready).await.status != 200 {
            assert!(!service.has_ended() && begin.elapsed() < DEADLINE, "the service does not get ready");
            tokio::time::sleep(POLL).await;
        }
        let (realm, base) = (&self.realm, &self.realm.base_url);
        eprintln!(
            "\n\
             service         {url}  (reference: {url}/docs)\n\
             dev token       {token}\n\
             Keycloak        {base}/admin  (admin, {admin})\n\
             realm           {issuer}  (clients breakpilot-console and breakpilot-portal)\n\
             platform admin  {ROOT}, {root}\n\
             mails           {sink}/api/v1/messages  (SMTP: {smtp})\n\
             PostgreSQL      {database}\n\n\
             Invite somebody:\n\n  \
             curl -s {url}/v1/tenants -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \\\n    \
             -d '{{\"slug\":\"north\",\"name\":\"North Clinic\",\"admin_email\":\"ann@north.test\",\"admin_name\":\"Ann Smith\"}}'\n\n\
             Ctrl-C ends all of it, and what was in it is gone.",
            url = service_url(),
            token = self.dev_token,
            admin = self.admin_password,
            issuer = realm.issuer,
            root = self.root_password,
            sink = self.sink.url,
            smtp = self.sink.smtp,
            database = self.database,
        );
    }
}

/// The service as a process, ended when dropped.
struct Service {
    child: std::sync::Mutex<Child>,
    watchdog: Watchdog,
}

impl Service {
    async fn start(platform: &Platform) -> Self {
        let realm = &platform.realm;
        let folder = tempfile::Builder::new().prefix("tenant-registry-dev-").tempdir().unwrap().keep();
        let mut watchdog = Watchdog::start(&folder);
        let child = Command::new(binary())
            .arg("serve")
            .env("APP_ENV", "dev")
            .env("ADDR", address())
            .env("DATABASE_URL", &platform.database)
            .env_remove("MIGRATION_DATABASE_URL")
            .env("DEV_TOKEN", &platform.dev_token)
            .env("KEYCLOAK_ISSUER", &realm.issuer)
            .env("KEYCLOAK_ADMIN_URL", &realm.base_url)
            .env("KEYCLOAK_REALM", &realm.name)
            .env("KEYCLOAK_CLIENT_ID", &realm.client_id)
            .env("KEYCLOAK_CLIENT_SECRET", &realm.client_secret)
            .env("MAIL_SINK_URL", &platform.sink.url)
            .process_group(0)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        watchdog.watch(&child);
        Self { child: std::sync::Mutex::new(child), watchdog }
    }

    fn has_ended(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_some()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The watchdog asks it to end, and waits for a process that is reaped here.
        self.watchdog.end_with(self.child.get_mut().unwrap());
    }
}

fn start_postgres() -> (Option<Cluster>, String) {
    // A server that runs already, in a container for example, is not ours to end.
    if std::env::var_os("TEST_POSTGRES_URL").is_some_and(|url| !url.is_empty()) {
        return (None, Cluster::shared().create_database());
    }
    let cluster = Cluster::start_with(false);
    let database = cluster.create_database();
    (Some(cluster), database)
}

/// Runs a subcommand on the database to its end, and gives what it printed.
fn registry(database: &str, words: &[&str]) -> String {
    let mut command = Command::new(binary());
    // The one that a person may have in the environment is of another database.
    command.args(words).env("APP_ENV", "dev").env("DATABASE_URL", database).env_remove("MIGRATION_DATABASE_URL");
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tenant-registry {words:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The service's program, built by the script that starts this.
fn binary() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.ancestors().nth(2).unwrap().join("tenant-registry")
}

fn address() -> String {
    std::env::var("ADDR").ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "127.0.0.1:8090".to_owned())
}

/// How browsers and Keycloak reach the service.
fn service_url() -> String {
    let address = address();
    format!("http://localhost:{}", address.rsplit(':').next().unwrap_or("8090"))
}

fn port(name: &str, otherwise: u16) -> u16 {
    let text = std::env::var(name).unwrap_or_default();
    if text.is_empty() { otherwise } else { text.parse().unwrap_or_else(|_| panic!("{name}={text} is no port")) }
}

async fn listener(name: &str, otherwise: u16) -> TcpListener {
    let port = port(name, otherwise);
    let bound = TcpListener::bind(("127.0.0.1", port)).await;
    bound.unwrap_or_else(|error| panic!("port {port}: {error}; {name} chooses another, 0 any"))
}

async fn is_open(url: &str) -> bool {
    let url = url::Url::parse(url).unwrap();
    tokio::net::TcpStream::connect((url.host_str().unwrap(), url.port().unwrap_or(80))).await.is_ok()
}
