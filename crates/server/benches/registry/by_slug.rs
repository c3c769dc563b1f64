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
use crate::load::Load;
use crate::process::{Cores, Folder, Server, ask, can_pin, get};
use crate::report::Report;
use crate::side::Side;

const ROUNDS: usize = 11;
const ROUND: Duration = Duration::from_millis(1_500);
const WARM_UP: Duration = Duration::from_millis(1_000);
const CONNECTIONS: usize = 16;
/// Of the peer's requests per second.
const LIMIT: f64 = 0.7;
const PATH: &str = "/v1/tenants/by-slug/acme";

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
    let mut sides = [(bare, Side::default()), (registry, Side::default())];
    for round in 0..=ROUNDS {
        for (server, side) in &mut sides {
            let warming = round == 0;
            let length = if warming { WARM_UP } else { ROUND };
            let load = Load { cores: asking, ..Load::reads(&request, server.address, CONNECTIONS, length) };
            side.round(server, &load, &folder, warming)?;
        }
    }

    let [(_, bare), (_, registry)] = sides;
    let pinned = if can_pin() { "server on one core" } else { "not pinned" };
    report.show(format!("by-slug, bare axum handler ({pinned}, {CONNECTIONS} connections)"), bare.words());
    report.show("by-slug, registry (warm, member's token cached)", registry.words());
    registry.judge_rate(report, "by-slug, registry / bare, requests per second", &bare, LIMIT);
    Ok(())
}
