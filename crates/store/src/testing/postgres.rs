//! A private PostgreSQL for tests and benchmarks, so that `make test` needs no server beside it.
//!
//! Tests that only need a database take `Cluster::shared`, one server per test process, and a fresh database from
//! `Cluster::create_database`; tests that kill the server start their own with `Cluster::start`. The code blocks and
//! panics: it runs before and beside what is tested, never inside it.
//! Invariant: the server and its folder do not outlive the test process, however that ends: its watchdog (`watchdog.rs`)
//! stops the server and removes the folder. Nothing else removes it.

#![expect(clippy::panic, clippy::expect_used, reason = "test support: without its server a test has nothing to say")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use url::Url;

use super::watchdog::Watchdog;

/// Folder of `initdb`, `postgres` and friends, for an installation that is found nowhere else.
const BIN_VARIABLE: &str = "TEST_POSTGRES_BIN";
/// Superuser's DSN of a server that runs already, a container for example; it replaces the shared cluster.
const URL_VARIABLE: &str = "TEST_POSTGRES_URL";
/// Set and not empty: the run does without any server (`make test-short`).
const SHORT_VARIABLE: &str = "TEST_SHORT";

const NOT_FOUND: &str = "no PostgreSQL server found. Run `TEST_INSTALL=1 scripts/ensure-postgres.sh` to install one, set \
                         TEST_POSTGRES_BIN to the folder of `initdb`, or leave out what needs it with `make test-short`";

/// Generous, since a loaded machine is no reason for a failing test: a quiet one starts in a second.
const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// Reads process ids, the newest counts and 0 means none; at the end of input stops that process and removes folder $1.
/// A server that has removed its lock file is gone, though in a container it may stay a zombie that nobody waits for. The
/// folder is removed in several rounds, since the children of an interrupted `initdb` may still write to it.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
server=0
while read -r line; do server=$line; done
if [ "$server" -gt 0 ]; then
    kill -QUIT "$server" 2>/dev/null
    rounds=0
    while kill -0 "$server" 2>/dev/null && [ -e "$1/data/postmaster.pid" ] && [ "$rounds" -lt 100 ]; do
        sleep 0.05
        rounds=$((rounds + 1))
    done
    kill -KILL "$server" 2>/dev/null
fi
rounds=0
until rm -rf "$1" && [ ! -e "$1" ] || [ "$rounds" -ge 50 ]; do sleep 0.1; rounds=$((rounds + 1)); done
"#;

/// Whether this run leaves out what needs a server (`TEST_SHORT`, set by `make test-short`).
#[must_use]
pub fn is_short_run() -> bool {
    std::env::var_os(SHORT_VARIABLE).is_some_and(|value| !value.is_empty())
}

/// A PostgreSQL server of this process: a private one, or the one that `TEST_POSTGRES_URL` names.
///
/// A private server listens on 127.0.0.1 only, trusts everyone there, has the superuser `postgres`, the locale `C` and
/// 200 connections. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct Cluster {
    url: Url,
    databases: AtomicU32,
    private: Option<Private>,
}

impl Cluster {
    /// The server that all tests of this process share, started at the first call. It never waits for the disk.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var(URL_VARIABLE) {
            Ok(url) if !url.is_empty() => Self::running(&url),
            _ => Self::start_with(false),
        })
    }

    /// A server of the caller's own, which keeps what it acknowledged: for tests that kill it, and for benchmarks.
    /// It needs the binaries on this machine (see [`binaries_found`]): a server behind `TEST_POSTGRES_URL` is not ours to kill.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(true)
    }

    /// A server of the caller's own; `durable` says whether a commit waits for the disk.
    #[must_use]
    pub fn start_with(durable: bool) -> Self {
        let private = Private::start(durable);
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", private.port);
        Self { url: Url::parse(&url).expect("an URL"), databases: AtomicU32::new(0), private: Some(private) }
    }

    fn running(url: &str) -> Self {
        let url = Url::parse(url).unwrap_or_else(|error| panic!("{URL_VARIABLE} is no URL: {error}"));
        Self { url, databases: AtomicU32::new(0), private: None }
    }

    /// The superuser's DSN for a database of this server.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> String {
        let mut url = self.url.clone();
        url.set_path(database);
        url.into()
    }

    /// Creates an empty database with a name of its own, and returns the superuser's DSN for it. It sorts text by code point.
    #[must_use]
    pub fn create_database(&self) -> String {
        self.create_database_with("LC_COLLATE 'C' LC_CTYPE 'C'")
    }

    /// Like [`Cluster::create_database`], with options of `CREATE DATABASE`, for example
    /// `LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'` (PostgreSQL 15) to see that no query leans on the database's collation.
    #[must_use]
    pub fn create_database_with(&self, options: &str) -> String {
        let url = self.superuser_url("postgres");
        loop {
            let number = self.databases.fetch_add(1, Ordering::Relaxed);
            let name = format!("test_{}_{number}", std::process::id());
            let sql = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {options}");
            match execute(&url, sql) {
                Ok(()) => return self.superuser_url(&name),
                Err(error) if is_duplicate_database(&error) => {}
                Err(error) => panic!("cannot create the database {name}: {error}"),
            }
        }
    }

    /// The TCP port of the server; it stays the same over [`Cluster::restart`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port().unwrap_or(5432)
    }

    /// The path of a program of PostgreSQL, `psql` or `pgbench` for example.
    #[must_use]
    pub fn bin(&self, name: &str) -> PathBuf {
        bin_folder()
            .map(|folder| folder.join(name))
            .filter(|program| program.is_file())
            .or_else(|| path_folders().map(|folder| folder.join(name)).find(|program| program.is_file()))
            .unwrap_or_else(|| panic!("PostgreSQL's program {name} is not installed"))
    }

    /// Stops the server without a checkpoint (SIGQUIT): it recovers from its log at the next start.
    pub fn stop_immediate(&mut self) {
        self.private_mut().stop("QUIT");
    }

    /// Kills every process of the server at once (SIGKILL), as when a machine's kernel does.
    pub fn kill_9(&mut self) {
        self.private_mut().kill_9();
    }

    /// Starts the server again on its port and data, after stopping it in order (SIGINT) if it runs.
    pub fn restart(&mut self) {
        let private = self.private_mut();
        private.stop("INT");
        private.start_again();
    }

    fn private_mut(&mut self) -> &mut Private {
        self.private.as_mut().unwrap_or_else(|| panic!("the server behind {URL_VARIABLE} is not ours to stop"))
    }
}

/// The server that this process started.
#[derive(Debug)]
struct Private {
    bin: PathBuf,
    folder: PathBuf,
    user: Option<User>,
    port: u16,
    durable: bool,
    server: Option<Child>,
    watchdog: Watchdog,
}

impl Private {
    fn start(durable: bool) -> Self {
        let bin = bin_folder().unwrap_or_else(|| panic!("{NOT_FOUND}"));
        let user = User::for_server();
        let folder = private_folder(user.as_ref());
        let watchdog = Watchdog::start("postgres-watchdog", WATCHDOG, &folder);
        let mut private = Self { bin, folder, user, port: free_port(), durable, server: None, watchdog };
        private.initdb();
        // The system's free port may be taken before the server binds it.
        for attempt in 1..=5 {
            match private.launch() {
                Ok(()) => return private,
                Err(log) if attempt == 5 => panic!("PostgreSQL does not start: {log}"),
                Err(_) => private.port = free_port(),
            }
        }
        unreachable!("the last attempt returns or panics")
    }

    /// Starting at the same port may have to wait for the last process of a killed server, or for a passing client that
    /// was given the port as its own.
    fn start_again(&mut self) {
        let begin = Instant::now();
        while let Err(log) = self.launch() {
            assert!(begin.elapsed() < DEADLINE, "PostgreSQL does not start again: {log}");
            std::thread::sleep(POLL * 10);
        }
    }

    fn initdb(&mut self) {
        let mut child = self
            .command("initdb")
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--pgdata"])
            .arg(self.data())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run initdb of {}: {error}", self.bin.display()));
        self.watchdog.tell(child.id());
        let status = child.wait().expect("initdb is our child");
        self.watchdog.tell(0);
        assert!(status.success(), "initdb: {status}\n{}", self.log());
    }

    /// Starts the server and waits until it answers; the error is the end of its log.
    fn launch(&mut self) -> Result<(), String> {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"] {
            command.args(["-c", setting]);
        }
        if !self.durable {
            command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
        }
        let child = command.spawn().map_err(|error| error.to_string())?;
        self.watchdog.tell(child.id());
        let child = self.server.insert(child);
        let begin = Instant::now();
        loop {
            // Its own lock file says that it is this server, and no other at the same port, which is ready.
            let lock = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
            let is_ours = lock.lines().next() == Some(child.id().to_string().as_str());
            let is_ready = lock.lines().nth(7).is_some_and(|state| state.trim_end() == "ready");
            if is_ours && is_ready && answers(self.port) {
                return Ok(());
            }
            let ended = child.try_wait().map_err(|error| error.to_string())?.is_some();
            if ended || begin.elapsed() > DEADLINE {
                self.kill_9();
                return Err(self.log());
            }
            std::thread::sleep(POLL);
        }
    }

    fn stop(&mut self, name: &str) {
        let Some(mut server) = self.server.take() else { return };
        signal(name, &[server.id()]);
        let begin = Instant::now();
        while server.try_wait().expect("the server is our child").is_none() {
            if begin.elapsed() > DEADLINE {
                server.kill().expect("the server is our child");
            }
            std::thread::sleep(POLL);
        }
        self.watchdog.tell(0);
    }

    fn kill_9(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        if server.try_wait().expect("the server is our child").is_none() {
            // Stopped first: the postmaster must not start or end processes while they are being listed.
            signal("STOP", &[server.id()]);
            let mut doomed = children_of(server.id());
            doomed.push(server.id());
            signal("KILL", &doomed);
        }
        server.wait().expect("the server is our child");
        self.watchdog.tell(0);
    }

    /// A program of PostgreSQL as the server's user, writing to the log, out of reach of the terminal's signals.
    fn command(&self, program: &str) -> Command {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).expect("a private file");
        let mut command = Command::new(self.bin.join(program));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        command
            .env("LC_ALL", "C")
            .current_dir(&self.folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a private file"))
            .stderr(log);
        if let Some(user) = &self.user {
            command.uid(user.id).gid(user.group);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> String {
        let text = fs::read(self.folder.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.stop("QUIT");
        self.watchdog.release();
        self.watchdog.wait();
    }
}

/// Whom the server runs as where this process is root, which PostgreSQL refuses to be.
#[derive(Debug)]
struct User {
    id: u32,
    group: u32,
}

impl User {
    fn for_server() -> Option<Self> {
        if id(&["-u"]) != Some(0) {
            return None;
        }
        let found = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| Some(Self { id: id(&["-u", name])?, group: id(&["-g", name])? }));
        Some(
            found.unwrap_or_else(|| panic!("PostgreSQL does not run as root, and there is no user postgres or nobody")),
        )
    }
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// A folder of the server's user, below one that this user can enter: TMPDIR is often inside the home of root.
fn private_folder(user: Option<&User>) -> PathBuf {
    let all_may_enter = |folder: &Path| {
        folder.ancestors().all(|step| fs::metadata(step).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
    };
    let base = [std::env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")]
        .into_iter()
        .find(|folder| user.is_none() || all_may_enter(folder))
        .expect("a folder for temporary files that every user may enter");
    let folder =
        tempfile::Builder::new().prefix("tenant-registry-postgres-").tempdir_in(base).expect("a private folder").keep();
    if let Some(user) = user {
        chown(&folder, Some(user.id), Some(user.group)).expect("root gives its folder away");
    }
    folder
}

/// Whether this machine has what [`Cluster::start`] needs.
#[must_use]
pub fn binaries_found() -> bool {
    bin_folder().is_some()
}

fn bin_folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(BIN_VARIABLE).filter(|folder| !folder.is_empty()) {
        let folder = PathBuf::from(folder);
        assert!(has_server(&folder), "{BIN_VARIABLE}: no initdb and postgres in {}", folder.display());
        return Some(folder);
    }
    path_folders()
        .filter_map(|folder| folder.join("initdb").canonicalize().ok())
        .find_map(|initdb| {
            // A link on PATH leads to the folder that holds the other programs as well.
            initdb.parent().filter(|folder| has_server(folder)).map(Path::to_owned)
        })
        .or_else(newest_installed)
}

fn path_folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

/// Where the distributions put what is not on PATH; the same list as in `scripts/ensure-postgres.sh`.
fn newest_installed() -> Option<PathBuf> {
    let places = [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/usr/libexec", "postgresql", ""),
        ("/usr/local", "pgsql", "bin"),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
    ];
    let found = places.into_iter().flat_map(|(parent, prefix, rest)| {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        entries.filter_map(move |entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.trim_start_matches('@');
            let version = if version.is_empty() { 0 } else { version.parse::<u32>().ok()? };
            let folder = entry.path().join(rest);
            has_server(&folder).then_some((version, folder))
        })
    });
    found.max().map(|(_, folder)| folder)
}

fn has_server(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on the loopback");
    listener.local_addr().expect("a bound socket").port()
}

/// Whether a server lets `postgres` in: a start-up message of protocol 3.0, and `AuthenticationOk` as the answer's first byte.
fn answers(port: u16) -> bool {
    const HELLO: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    const GOODBYE: &[u8] = b"X\0\0\0\x04";
    let ask = || -> std::io::Result<u8> {
        let limit = Duration::from_secs(2);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(HELLO)?;
        let mut first = [0];
        stream.read_exact(&mut first)?;
        stream.write_all(GOODBYE)?;
        Ok(first[0])
    };
    ask().is_ok_and(|first| first == b'R')
}

/// Through the shell's own `kill`, which is there where the program is not. A process that has gone already is no error.
fn signal(name: &str, processes: &[u32]) {
    let processes = processes.iter().map(u32::to_string);
    let mut command = Command::new("sh");
    command.args(["-c", r#"kill -s "$0" "$@""#, name]).args(processes);
    _ = command.stderr(Stdio::null()).status().expect("a shell");
}

/// The server's processes, where the system has `/proc`. Elsewhere they notice by themselves that the postmaster is gone.
fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // "pid (name) state parent …", and the name may hold anything.
            let (_, rest) = stat.rsplit_once(')')?;
            let found: u32 = rest.split_whitespace().nth(1)?.parse().ok()?;
            (found == parent).then_some(process)
        })
        .collect()
}

/// One statement outside a transaction, on a thread of its own: the caller may be inside a runtime, which must not block.
fn execute(url: &str, sql: String) -> Result<(), sqlx::Error> {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut connection = PgConnection::connect(url).await?;
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
            connection.close().await
        })
    };
    std::thread::scope(|scope| scope.spawn(work).join().expect("the thread ends"))
}

fn is_duplicate_database(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42P04")
}
