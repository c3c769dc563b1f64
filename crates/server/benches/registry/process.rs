//! The processes of a run: the registry, its peer, and what the system says of them.
//!
//! Invariant: a process started here ends with its value, and nothing else is ever signalled.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// A private folder, gone with the value.
#[derive(Debug)]
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Outcome<Self> {
        Ok(Self(tempfile::Builder::new().prefix("registry-bench-").tempdir()?))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// On which cores a process may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cores {
    /// On all.
    All,
    /// On the first alone: for a server that is to be the bottleneck.
    First,
    /// On the others: for what asks it.
    Others,
}

/// A command of this program itself.
pub(crate) fn own_command(cores: Cores) -> Outcome<Command> {
    Ok(command(&std::env::current_exe()?, cores))
}

/// Whether processes can be kept to their cores here: `taskset` is there, and cores 0 and 1.
pub(crate) fn can_pin() -> bool {
    let probe =
        Command::new("taskset").args(["-c", "0,1", "true"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
        && std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
}

fn command(program: &Path, cores: Cores) -> Command {
    let last = std::thread::available_parallelism().map_or(1, |cores| cores.get() - 1);
    let cores = match cores {
        Cores::All => None,
        Cores::First => Some("0".to_owned()),
        Cores::Others => Some(format!("1-{last}")),
    };
    match cores.filter(|_| can_pin()) {
        None => Command::new(program),
        Some(cores) => {
            let mut command = Command::new("taskset");
            command.args(["-c", &cores]).arg(program);
            command
        }
    }
}

/// A server under measurement. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// The registry as in production: JSON logs at `info` into a file, metrics, no collector. What differs comes as
    /// environment. Does not wait until it is ready.
    pub(crate) fn registry(folder: &Folder, cores: Cores, settings: &[(&str, &str)]) -> Outcome<Self> {
        let address = free_address()?;
        let log = std::fs::File::create(folder.path().join("registry.log"))?;
        let mut command = command(Path::new(env!("CARGO_BIN_EXE_tenant-registry")), cores);
        command
            .arg("serve")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            // Only dev lets a superuser of the database in; nothing else of it is on the paths that are measured.
            .envs([("APP_ENV", "dev"), ("DEV_TOKEN", DEV_TOKEN), ("MIGRATE_ON_START", "false")])
            .envs([("LOG_FILTER", "info"), ("LOG_FORMAT", "json"), ("KEYCLOAK_ISSUER", "")])
            .env("ADDR", address.to_string())
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Ok(Self { child: command.spawn()?, address })
    }

    /// The bare peer, which answers the bytes of a file.
    pub(crate) fn bare(file: &Path, cores: Cores) -> Outcome<Self> {
        let mut child = own_command(cores)?.arg("--serve-bare").arg(file).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse()? })
    }

    /// Asks until the server says that it is ready; how long ago `since` is then.
    pub(crate) fn ready(&mut self, since: Instant) -> Outcome<Duration> {
        loop {
            if ask(self.address, "/readyz", "").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")) {
                return Ok(since.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the server ended: {status}").into());
            }
            if since.elapsed() > Duration::from_secs(30) {
                return Err("the server was not ready within 30 s".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The memory that it holds now, in MB of a million bytes.
    pub(crate) fn resident_megabytes(&self) -> Outcome<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes * 1_024.0 / 1e6)
    }

    /// The processor time that it has used, in seconds; the system counts in hundredths.
    pub(crate) fn processor_seconds(&self) -> Outcome<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, rest) = stat.rsplit_once(')').ok_or("no name")?;
        let ticks: Vec<f64> = rest.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        Ok(ticks.iter().sum::<f64>() / 100.0)
    }

    /// Stops its clockwork, so that its background work takes nothing from the peer.
    pub(crate) fn freeze(&self) -> Outcome {
        self.signal("STOP")
    }

    pub(crate) fn thaw(&self) -> Outcome {
        self.signal("CONT")
    }

    fn signal(&self, name: &str) -> Outcome {
        let id = self.child.id().to_string();
        let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status()?;
        if status.success() { Ok(()) } else { Err(format!("kill -s {name}: {status}").into()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The platform admin's token where no issuer is needed.
pub(crate) const DEV_TOKEN: &str = "dev-token-of-the-benchmarks";

fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// One request on a connection of its own; the whole answer.
pub(crate) fn ask(address: SocketAddr, path: &str, token: &str) -> Outcome<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(get(path, token).replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A GET as the load generator sends it.
pub(crate) fn get(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: registry.test\r\nauthorization: Bearer {token}\r\n\r\n")
}
