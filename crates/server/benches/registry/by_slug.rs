//! The warm read of a tenant by its slug, against an axum handler that does nothing but answer the same bytes.
//!
//! The caller is a member of the tenant with a token of an issuer in this process: its check is cached, its tenant is
//! looked up on every request, so it is the dearest of the callers. Server and generator are kept to a core each where
//! that can be done, so that the server is the bottleneck and the ratio is not flattered by what both sides share.
//! Invariant: both sides are asked with the same request bytes, and answer the same body.

use std::time::{Duration, Instant};

use domain::Clock as _;

use crate::Outcome;
use crate::issuer::{RealClock, TestIssuer};
use crate::load::{Answered, Load};
use crate::process::{Cores, Folder, Server, ask, can_pin, get};
use crate::report::{Report, median, range};

const ROUNDS: usize = 11;
const ROUND: Duration = Duration::from_millis(1_500);
const WARM_UP: Duration = Duration::from_millis(1_000);
const CONNECTIONS: usize = 16;
/// Of the peer's requests per second.
const LIMIT: f64 = 0.7;
const PATH: &str = "/v1/tenants/by-slug/acme";

/// One side of the comparison.
struct Side {
    server: Server,
    rounds: Vec<Answered>,
    /// Processor time of the server per request.
    micros: Vec<f64>,
}

pub(crate) fn measure(report: &mut Report) -> Outcome {
    let (serving, asking) = if can_pin() { (Cores::First, Cores::Others) } else { (Cores::All, Cores::All) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let issuer = runtime.block_on(TestIssuer::start());
    let claims = issuer.claims("bench").role("MEMBER").tenant("acme").expires(RealClock.now().as_second() + 3_600);
    let token = issuer.token(claims);

    let folder = Folder::new()?;
    let began = Instant::now();
    let mut registry = Server::registry(&folder, serving, &[("KEYCLOAK_ISSUER", issuer.url())])?;
    registry.ready(began)?;
    let answer = ask(registry.address, PATH, &token)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a head")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("the registry refused the read:\n{answer}").into());
    }
    let file = folder.path().join("body");
    std::fs::write(&file, body)?;
    let bare = Server::bare(&file, serving)?;

    let request = get(PATH, &token);
    let mut sides = [bare, registry].map(|server| Side { server, rounds: Vec::new(), micros: Vec::new() });
    for round in 0..=ROUNDS {
        for side in &mut sides {
            let warming = round == 0;
            let load = Load {
                request: &request,
                status: 200,
                address: side.server.address,
                connections: CONNECTIONS,
                length: if warming { WARM_UP } else { ROUND },
                numbers: 0..u64::MAX,
                cores: asking,
            };
            let before = side.server.processor_seconds()?;
            let answered = load.run(&folder)?;
            if !warming {
                let used = side.server.processor_seconds()? - before;
                side.micros.push(used * 1e6 / answered.per_second / ROUND.as_secs_f64());
                side.rounds.push(answered);
            }
        }
    }

    let [bare, registry] = sides;
    let pinned = if can_pin() { "server on one core" } else { "not pinned" };
    report.show(format!("by-slug, bare axum handler ({pinned}, {CONNECTIONS} connections)"), bare.words());
    report.show("by-slug, registry (warm, member's token cached)", registry.words());
    // Neighbouring rounds share whatever else the machine was doing.
    let ratios: Vec<f64> = bare
        .rounds
        .iter()
        .zip(&registry.rounds)
        .map(|(bare, registry)| registry.per_second / bare.per_second)
        .collect();
    let (low, high) = range(&ratios);
    let ratio = median(registry.rates()) / median(bare.rates());
    report.judge(
        "by-slug, registry / bare, requests per second",
        format!("{ratio:.2} (rounds {low:.2} to {high:.2})"),
        &format!("at least {LIMIT}"),
        ratio >= LIMIT,
    );
    Ok(())
}

impl Side {
    fn rates(&self) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(|round| round.per_second)
    }

    fn words(&self) -> String {
        format!(
            "{:.0} req/s, p50 {:.0} µs, p99 {:.0} µs, {:.1} µs of processor per request",
            median(self.rates()),
            median(self.rounds.iter().map(|round| round.p50_micros)),
            median(self.rounds.iter().map(|round| round.p99_micros)),
            median(self.micros.iter().copied()),
        )
    }
}
