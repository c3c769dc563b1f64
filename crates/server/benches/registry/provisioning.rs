//! The warm read by slug while creations wait for an identity provider that never answers, against the same read without
//! them; and how long such a creation takes to answer.
//!
//! Two registries alike take turns, each with a Keycloak that takes connections and says nothing. Creations are sent only
//! while the second one is measured, and as many as there are to be are in flight before it is. Invariant: what is counted
//! are reads alone.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::load::Load;
use crate::process::{Cores, DEV_TOKEN, Folder, Server, can_pin, get};
use crate::report::Report;
use crate::side::Side;

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(1_500);
const WARM_UP: Duration = Duration::from_millis(1_000);
const CONNECTIONS: usize = 16;
/// Creations in flight.
const IN_FLIGHT: usize = 50;
/// What a creation waits for provisioning, in seconds.
const BOUND: &str = "2";
/// Of the reads per second without creations.
const LIMIT: f64 = 0.9;
/// A creation answers within its bound and a second.
const LONGEST: Duration = Duration::from_secs(3);
const PATH: &str = "/v1/tenants/by-slug/acme";

pub(crate) fn measure(report: &mut Report) -> Outcome {
    let (serving, asking) = if can_pin() { (Cores::First, Cores::Others) } else { (Cores::All, Cores::All) };
    let silent = hanging_listener()?;
    let folder = Folder::new()?;
    let admin_url = format!("http://{silent}");
    let settings = [
        ("KEYCLOAK_ADMIN_URL", admin_url.as_str()),
        ("KEYCLOAK_CLIENT_ID", "bench"),
        ("KEYCLOAK_CLIENT_SECRET", "bench"),
        ("PROVISION_TIMEOUT_SECONDS", BOUND),
    ];
    let mut servers = Vec::new();
    for _ in 0..2 {
        let began = Instant::now();
        let mut server = Server::registry(&folder, serving, &settings)?;
        server.ready(began)?;
        servers.push((server, Side::default()));
    }
    let creations = Creations::start(servers[1].0.address);
    let request = get(PATH, DEV_TOKEN);
    for round in 0..=ROUNDS {
        for (place, (server, side)) in servers.iter_mut().enumerate() {
            let warming = round == 0;
            if place == 1 {
                creations.begin()?;
            }
            let length = if warming { WARM_UP } else { ROUND };
            let load = Load { cores: asking, ..Load::reads(&request, server.address, CONNECTIONS, length) };
            side.round(server, &load, &folder, warming)?;
            if place == 1 {
                creations.end()?;
            }
        }
    }
    let slowest = creations.slowest()?;
    let mut servers = servers.into_iter();
    let (Some((_, alone)), Some((_, beside))) = (servers.next(), servers.next()) else { return Err("no sides".into()) };
    report.show("by-slug, nothing beside it", alone.words());
    report.show(format!("by-slug, {IN_FLIGHT} creations in flight at a provider that hangs"), beside.words());
    beside.judge_rate(report, "by-slug with / without creations that hang, requests per second", &alone, LIMIT);
    report.judge(
        format!("create at a provider that hangs, bound {BOUND} s: slowest answer"),
        format!("{:.2} s", slowest.as_secs_f64()),
        &format!("<= {:.0} s", LONGEST.as_secs_f64()),
        slowest <= LONGEST,
    );
    Ok(())
}

/// Takes connections, keeps them, and never answers.
fn hanging_listener() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let kept: Vec<TcpStream> = listener.incoming().flatten().collect();
        drop(kept);
    });
    Ok(address)
}

/// Threads that create tenants while they may.
struct Creations {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    on: AtomicBool,
    in_flight: AtomicUsize,
    number: AtomicU64,
    slowest: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Creations {
    fn start(address: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        for _ in 0..IN_FLIGHT {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                loop {
                    if !shared.on.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(5));
                        continue;
                    }
                    shared.in_flight.fetch_add(1, Ordering::SeqCst);
                    let began = Instant::now();
                    let outcome = create(address, shared.number.fetch_add(1, Ordering::SeqCst));
                    let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                    shared.slowest.fetch_max(took, Ordering::SeqCst);
                    shared.in_flight.fetch_sub(1, Ordering::SeqCst);
                    if let Err(failure) = outcome {
                        *shared.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.to_string());
                    }
                }
            });
        }
        Self { shared }
    }

    /// Waits until all are in flight.
    fn begin(&self) -> Outcome {
        self.shared.on.store(true, Ordering::SeqCst);
        self.until(IN_FLIGHT)?;
        // They are sent; now they are to be waiting.
        std::thread::sleep(Duration::from_millis(200));
        Ok(())
    }

    /// Waits until none is.
    fn end(&self) -> Outcome {
        self.shared.on.store(false, Ordering::SeqCst);
        self.until(0)
    }

    fn until(&self, count: usize) -> Outcome {
        let began = Instant::now();
        while self.shared.in_flight.load(Ordering::SeqCst) != count {
            if let Some(failure) = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Err(failure.into());
            }
            if began.elapsed() > Duration::from_secs(30) {
                return Err(format!("not {count} creations in flight within 30 s").into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn slowest(&self) -> Outcome<Duration> {
        match self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(failure) => Err(failure.into()),
            None => Ok(Duration::from_micros(self.shared.slowest.load(Ordering::SeqCst))),
        }
    }
}

/// Creates one tenant, and sees to it that it is there and not provisioned.
fn create(address: SocketAddr, number: u64) -> Outcome {
    let body = format!(r#"{{"slug":"bench-{number}","name":"N","admin_email":"a{number}@bench.example"}}"#);
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let length = body.len();
    let head = format!(
        "POST /v1/tenants HTTP/1.1\r\nhost: registry.test\r\nauthorization: Bearer {DEV_TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let good = answer.starts_with("HTTP/1.1 201 ") && !answer.contains(r#""status":"provisioned""#);
    if good { Ok(()) } else { Err(format!("a creation was answered with {answer}").into()) }
}
