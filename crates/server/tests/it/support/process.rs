//! The binary as a process: started with an environment of its own, listened to, waited for, killed.
//!
//! Tests below `process/` describe a start with [`Program`] and get a [`Process`] that is ready, or what a run ended with.
//! Invariant: no process outlives the test process, however that ends: a watchdog kills whoever was started and not yet
//! waited for.

use std::io::Read;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use store::testing::watchdog::Watchdog;

use super::client::{Client, DEV_TOKEN};

/// Generous: a loaded machine is no reason for a failing test.
const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// Reads `+ PID` and `- PID`; at the end of input kills those that are left.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
alive=' '
while read -r sign pid; do
    case $sign in
        +) alive="$alive$pid " ;;
        -) alive="${alive%% "$pid" *} ${alive#* "$pid" }" ;;
    esac
done
for pid in $alive; do kill -KILL "$pid" 2>/dev/null; done
"#;

/// How the binary is to be started. Its environment is empty but for `PATH`, a temporary folder and what is set here.
#[derive(Debug)]
pub(crate) struct Program {
    command: Command,
    folder: tempfile::TempDir,
}

/// What a run that ended by itself left.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit code; none where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running process. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// `http://address:port` of the line that says where it listens; empty before.
    pub(crate) url: String,
    stdout: Capture,
    stderr: Capture,
    _folder: tempfile::TempDir,
}

impl Program {
    /// In dev, on a free port of the loopback.
    pub(crate) fn new() -> Self {
        Self::of(&[env!("CARGO_BIN_EXE_tenant-registry").to_owned()])
    }

    /// Another command line that ends in the binary, `chroot` for example.
    pub(crate) fn of(words: &[String]) -> Self {
        let folder = tempfile::Builder::new().prefix("registry-process-").tempdir().unwrap();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            // A killed process leaves its store in memory there, and goes with this folder.
            .env("TMPDIR", folder.path())
            .env("APP_ENV", "dev")
            .env("ADDR", "127.0.0.1:0")
            .env("KEYCLOAK_ISSUER", "")
            .env("DEV_TOKEN", DEV_TOKEN)
            .current_dir(folder.path());
        Self { command, folder }
    }

    /// Outside dev, with everything set that makes that legitimate but for the database.
    pub(crate) fn in_prod(issuer: &str) -> Self {
        Self::new()
            .unset("DEV_TOKEN")
            .set("APP_ENV", "prod")
            .set("KEYCLOAK_ISSUER", issuer)
            .set("KEYCLOAK_ADMIN_URL", "https://id.example.com")
            .set("KEYCLOAK_CLIENT_ID", "registry")
            .set("KEYCLOAK_CLIENT_SECRET", "keycloak-client-secret")
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn unset(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn args(mut self, words: &[&str]) -> Self {
        self.command.args(words);
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn current_dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Starts it, and does not wait for anything.
    pub(crate) fn spawn(mut self) -> Process {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        tell_watchdog('+', child.id());
        let stdout = Capture::of(child.stdout.take().unwrap());
        let stderr = Capture::of(child.stderr.take().unwrap());
        Process { child, url: String::new(), stdout, stderr, _folder: self.folder }
    }

    /// Starts it, and waits until it is ready.
    pub(crate) async fn start(self) -> Process {
        let mut process = self.spawn();
        process.ready().await;
        process
    }

    /// Runs it to its end.
    pub(crate) async fn run(self) -> Finished {
        let mut process = self.spawn();
        let status = process.ended(DEADLINE).await;
        Finished { code: status.code(), stdout: process.stdout(), stderr: process.stderr() }
    }
}

impl Finished {
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// It ended with an exit code that is not 0, before it listened, and said all of this on standard error.
    #[track_caller]
    pub(crate) fn refused(self, words: &[&str]) -> Self {
        assert!(matches!(self.code, Some(1 | 2)), "code {:?}\n{}\n{}", self.code, self.stdout, self.stderr);
        assert!(!self.stderr.contains("listening"), "it took the port first:\n{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in:\n{}\n{}", self.stderr, self.stdout);
        }
        self
    }
}

impl Process {
    /// Waits until it listens and `/readyz` says that it is ready.
    pub(crate) async fn ready(&mut self) {
        let begin = Instant::now();
        self.url = loop {
            if let Some(address) = listening_at(&self.stderr()) {
                break format!("http://{}", address.replace("[::]", "127.0.0.1"));
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended ({ended:?}) before it listened:\n{}", self.stderr());
            assert!(begin.elapsed() < DEADLINE, "it does not listen:\n{}", self.stderr());
            tokio::time::sleep(POLL).await;
        };
        while !self.is_ready().await {
            assert!(begin.elapsed() < DEADLINE, "it does not become ready:\n{}", self.stderr());
            tokio::time::sleep(POLL).await;
        }
    }

    pub(crate) async fn is_ready(&self) -> bool {
        let answer = http().get(format!("{}/readyz", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// A platform admin's client.
    pub(crate) fn admin(&self) -> Client {
        Client::new(&self.url).bearer(DEV_TOKEN)
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Sends a signal by its name, `TERM` for example.
    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("sh").args(["-c", r#"kill -s "$0" "$1""#, name]).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// SIGKILL, and the end of the process.
    pub(crate) fn kill_9(&mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        tell_watchdog('-', self.child.id());
        assert_eq!(status.signal(), Some(9), "it was gone before: {status}\n{}", self.stderr());
    }

    /// Waits until it has ended, with everything it printed read.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < within, "it runs on after {within:?}:\n{}", self.stderr());
            tokio::time::sleep(POLL).await;
        };
        tell_watchdog('-', self.child.id());
        while !(self.stdout.is_complete() && self.stderr.is_complete()) {
            assert!(begin.elapsed() < within + DEADLINE, "its output stays open");
            tokio::time::sleep(POLL).await;
        }
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            tell_watchdog('-', self.child.id());
        }
    }
}

/// A client without a pool: a killed server's connections must not come up again.
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(DEADLINE).build().unwrap()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The root of the source tree.
pub(crate) fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The address in the line that says `listening`, in either format of the log.
fn listening_at(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("listening") && line.contains("address"))?;
    let (_, rest) = line.split_once("address\":\"").or_else(|| line.split_once("address="))?;
    rest.split(['"', ' ']).next().map(str::to_owned)
}

/// An output stream, read by a thread of its own so that the pipe never fills.
#[derive(Debug, Clone, Default)]
struct Capture(Arc<Mutex<(Vec<u8>, bool)>>);

impl Capture {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let capture = Self::default();
        let kept = capture.clone();
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                kept.0.lock().unwrap().0.extend_from_slice(&buffer[..count]);
            }
            kept.0.lock().unwrap().1 = true;
        });
        capture
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap().0).into_owned()
    }

    fn is_complete(&self) -> bool {
        self.0.lock().unwrap().1
    }
}

fn tell_watchdog(sign: char, process: u32) {
    static KEPT: OnceLock<Mutex<Watchdog>> = OnceLock::new();
    let watchdog = KEPT.get_or_init(|| Mutex::new(Watchdog::start("registry-watchdog", WATCHDOG, "")));
    watchdog.lock().unwrap().tell(format_args!("{sign} {process}"));
}
