//! How long a second replica takes a key for good after the first has revoked it: connected, and cut off.
//!
//! A key is verified on the second replica over and over, and revoked on the first; time runs from the moment at which
//! the 204 has been read. To cut a replica off, a proxy between it and PostgreSQL falls silent: neither NOTIFY nor its
//! own looks at the feed come through, and no connection breaks. Invariant: a key was good on the second replica, out of
//! its memory, just before it was revoked.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use store::testing::postgres::Cluster;
use url::Url;

use crate::client::{Client, make_tenant, text};
use crate::histogram::{Histogram, millis};
use crate::process::{Cores, DEV_TOKEN, Folder, Server, ask};
use crate::proxy::Proxy;
use crate::report::Report;
use crate::seed::migrate_postgres;
use crate::seed_keys::SCOPE;
use crate::verify::{PATH, VALID, body, start};
use crate::{Outcome, scale};

const REVOCATIONS: usize = 1_000;
const P99_LIMIT: Duration = Duration::from_millis(100);
const BUCKETS: [u64; 7] = [1, 2, 5, 10, 20, 50, 100];
/// Between two questions: a loop without would take the processor from what is measured.
const PAUSE: Duration = Duration::from_micros(200);
/// Long enough for a replica to have heard of something.
const HEARD: Duration = Duration::from_secs(2);
/// After this long a revocation that did not arrive is a failure of the run.
const DEADLINE: Duration = Duration::from_secs(20);

const CUTS: usize = 20;
const CUTS_LAST: Duration = Duration::from_secs(120);
/// The default of MAX_STALENESS_SECONDS, with which the replicas run.
const BOUND: Duration = Duration::from_secs(5);
/// What a request that began within the bound may take.
const REQUEST: Duration = Duration::from_millis(100);
const CUT_BUCKETS: [u64; 6] = [1_000, 4_500, 4_750, 5_000, 5_100, 6_000];
/// For how long the replica is asked again after its first refusal.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// How long ago a replica confirmed the feed.
const AGE: &str = "tenant_registry_read_model_age";
const CUT_DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn measure(report: &mut Report) -> Outcome {
    let cluster = Cluster::start();
    let url = cluster.create_database();
    tokio::runtime::Runtime::new()?.block_on(migrate_postgres(&url))?;
    let folder = Folder::new()?;
    let (first, token) = start(&folder, Cores::All, &url)?;
    let mut scene = Scene::set(&first)?;
    connected(report, &mut scene, &url, &token)?;
    cut_off(report, &mut scene, &url, &token)
}

/// The first replica, on which keys are made and revoked.
struct Scene {
    admin: Client,
    tenant: String,
}

impl Scene {
    fn set(first: &Server) -> Outcome<Self> {
        let mut admin = Client::connect(first.address, DEV_TOKEN)?;
        let tenant = make_tenant(&mut admin, "bench-revocation")?;
        Ok(Self { admin, tenant })
    }

    /// New keys of the tenant, and the time that everybody needs to have heard of them: the news of a key makes a replica
    /// forget it once, and what it has not in memory it would ask the store for.
    fn keys(&mut self, count: usize) -> Outcome<Vec<(String, String)>> {
        let keys = (0..count).map(|_| self.key()).collect::<Outcome<_>>()?;
        std::thread::sleep(HEARD);
        Ok(keys)
    }

    /// A new key: its id and its plaintext.
    fn key(&mut self) -> Outcome<(String, String)> {
        let body = format!(r#"{{"tenant_id":"{}","name":"Bench","scopes":["{SCOPE}"]}}"#, self.tenant);
        let made = self.admin.post("/v1/api-keys", &body)?.json(201)?;
        Ok((text(&made, "/api_key/id")?.to_owned(), text(&made, "/plaintext")?.to_owned()))
    }

    /// Revokes a key; when that was acknowledged.
    fn revoke(&mut self, id: &str) -> Outcome<Instant> {
        let reply = self.admin.delete(&format!("/v1/api-keys/{id}"))?;
        let at = Instant::now();
        reply.json(204)?;
        Ok(at)
    }
}

/// Another replica. It makes no key of its own: the caller's was made on the first.
fn replica(folder: &Folder, url: &str) -> Outcome<Server> {
    let began = Instant::now();
    let mut server = Server::registry(folder, Cores::All, &[("DATABASE_URL", url)])?;
    server.ready(began)?;
    Ok(server)
}

fn connected(report: &mut Report, scene: &mut Scene, url: &str, token: &str) -> Outcome {
    let folder = Folder::new()?;
    let second = replica(&folder, url)?;
    let mut probe = Client::connect(second.address, token)?;
    let mut lags = Vec::new();
    let wanted = if scale::is_short() { 20 } else { REVOCATIONS };
    for (number, (id, key)) in (0..).zip(scene.keys(wanted)?) {
        let body = body(&key);
        let (tell, told) = mpsc::channel();
        let (revoked, refused) = std::thread::scope(|scope| {
            let asking = scope.spawn(|| first_refusal(&mut probe, &body, &tell));
            // An error of the other thread closes the channel, and is what is reported.
            let warm = told.recv_timeout(DEADLINE);
            // Not always at the same moment of the follower's pauses.
            std::thread::sleep(Duration::from_millis(number * 7 % 23));
            let revoked = if warm.is_ok() { scene.revoke(&id) } else { Ok(Instant::now()) };
            (revoked, asking.join())
        });
        let revoked = revoked?;
        let refused = refused.map_err(|_| "the asking thread panicked")??;
        lags.push(refused.saturating_duration_since(revoked));
    }
    let times = lags.len();
    let lags = Histogram::of(lags);
    let (p50, p99, longest) = (lags.percentile(50), lags.percentile(99), lags.longest());
    report.show("revocation, seen by a second replica: histogram", lags.buckets(&BUCKETS));
    report.judge(
        format!("revocation, seen by a second replica ({times} times)"),
        format!("p50 {}, p99 {}, longest {}", millis(p50), millis(p99), millis(longest)),
        "p99 at most 100 ms",
        p99 <= P99_LIMIT,
    );
    Ok(())
}

/// Asks until the key is good no more; when the answer that said so had been read.
fn first_refusal(probe: &mut Client, body: &str, tell: &mpsc::Sender<()>) -> Outcome<Instant> {
    let began = Instant::now();
    let mut times_valid = 0;
    while began.elapsed() < DEADLINE {
        let reply = probe.post(PATH, body)?;
        let at = Instant::now();
        let valid = reply.status == 200 && reply.body.starts_with(VALID);
        if valid {
            times_valid += 1;
            // The first answer asked the store, and this one came out of memory.
            if times_valid == 3 {
                tell.send(())?;
            }
        } else if times_valid >= 3 && is_revoked(&reply.body) {
            return Ok(at);
        } else {
            return Err(format!("neither valid nor revoked: {reply}").into());
        }
        std::thread::sleep(PAUSE);
    }
    Err(format!("still valid after {DEADLINE:?}").into())
}

fn is_revoked(body: &str) -> bool {
    body.starts_with(r#"{"valid":false,"code":"revoked""#)
}

/// What a replica said that could not hear of a revocation.
#[derive(Debug, Default)]
struct Cut {
    last_valid: Duration,
    first_refused: Option<Duration>,
    /// The longest time that a refusal took.
    slowest_refusal: Duration,
    /// Answers after the first refusal that were no refusals.
    relapses: u64,
}

fn cut_off(report: &mut Report, scene: &mut Scene, url: &str, token: &str) -> Outcome {
    let mut behind = Url::parse(url)?;
    let upstream = behind.socket_addrs(|| Some(5432))?.first().copied().ok_or("no address in the DSN")?;
    let proxy = Proxy::start(upstream)?;
    behind.set_port(Some(proxy.address.port())).map_err(|()| "a DSN without port")?;
    let folder = Folder::new()?;
    let third = replica(&folder, behind.as_str())?;
    let mut probe = Client::connect(third.address, token)?;

    let wanted = if scale::is_short() { 2 } else { CUTS };
    let began = Instant::now();
    let mut cuts = Vec::new();
    for (id, key) in scene.keys(wanted)? {
        if began.elapsed() > CUTS_LAST {
            break;
        }
        until_fresh(&third)?;
        let body = body(&key);
        for _ in 0..3 {
            let reply = probe.post(PATH, &body)?;
            if !reply.body.starts_with(VALID) {
                return Err(format!("not valid before it was revoked: {reply}").into());
            }
        }
        // Not always at the same moment of the follower's pauses.
        std::thread::sleep(Duration::from_millis(cuts.len() as u64 * 37 % 250));
        proxy.fall_silent();
        let revoked = scene.revoke(&id)?;
        cuts.push(watch(&mut probe, &body, revoked)?);
        proxy.speak();
        until_revoked(&mut probe, &body)?;
    }
    show(report, &cuts);
    Ok(())
}

fn watch(probe: &mut Client, body: &str, revoked: Instant) -> Outcome<Cut> {
    let mut cut = Cut::default();
    loop {
        let asked = Instant::now();
        let reply = probe.post(PATH, body)?;
        let at = revoked.elapsed();
        if reply.status == 503 {
            cut.first_refused.get_or_insert(at);
            cut.slowest_refusal = cut.slowest_refusal.max(asked.elapsed());
        } else if reply.status == 200 && reply.body.starts_with(VALID) {
            cut.last_valid = at;
            cut.relapses += u64::from(cut.first_refused.is_some());
        } else {
            return Err(format!("a replica that is cut off says after {at:?}: {reply}").into());
        }
        if cut.first_refused.is_some_and(|first| at > first + AFTERWARDS) {
            return Ok(cut);
        }
        if at > CUT_DEADLINE {
            return Err(format!("no refusal within {CUT_DEADLINE:?}").into());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Once it hears again, the replica must say what became of the key.
fn until_revoked(probe: &mut Client, body: &str) -> Outcome {
    let began = Instant::now();
    loop {
        let reply = probe.post(PATH, body)?;
        if is_revoked(&reply.body) {
            return Ok(());
        }
        if reply.status != 503 || began.elapsed() > CUT_DEADLINE {
            return Err(format!("after the cut, {:?}: {reply}", began.elapsed()).into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until memory may answer again: a replica that asks the store would refuse at once when it is cut off.
fn until_fresh(server: &Server) -> Outcome {
    let began = Instant::now();
    loop {
        let metrics = ask(server.address, "/metrics", "")?;
        let age = metrics.lines().find(|line| line.starts_with(AGE)).and_then(|line| line.rsplit(' ').next());
        if age.ok_or("no age of the read model in the metrics")?.trim().parse::<f64>()? < 0.5 {
            return Ok(());
        }
        if began.elapsed() > CUT_DEADLINE {
            return Err("the read model is not confirmed again".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn show(report: &mut Report, cuts: &[Cut]) {
    let valid = Histogram::of(cuts.iter().map(|cut| cut.last_valid).collect());
    let refused = Histogram::of(cuts.iter().filter_map(|cut| cut.first_refused).collect());
    let slowest = cuts.iter().map(|cut| cut.slowest_refusal).max().unwrap_or_default();
    let relapses: u64 = cuts.iter().map(|cut| cut.relapses).sum();
    report.show("revocation, a replica that is cut off: last valid answer, histogram", valid.buckets(&CUT_BUCKETS));
    report.judge(
        format!("revocation, a replica that is cut off: last valid answer ({} times)", cuts.len()),
        format!("p50 {}, longest {}", millis(valid.percentile(50)), millis(valid.longest())),
        "at most 5 s and a request (0.1 s)",
        !cuts.is_empty() && valid.longest() <= BOUND + REQUEST,
    );
    report.judge(
        "revocation, a replica that is cut off: answers after its first 503 that were none",
        format!(
            "{relapses} (first 503 after {} to {}, the slowest took {})",
            millis(refused.percentile(0)),
            millis(refused.longest()),
            millis(slowest)
        ),
        "none",
        relapses == 0,
    );
}
