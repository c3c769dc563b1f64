//! The claims that Keycloak's mapper asks for at every token, against an axum handler that reads the body and answers the
//! same bytes.
//!
//! The caller is a key of the platform with `registry:internal`; it asks about another of a thousand tenants each time, by
//! slug, as the mapper does. Server and generator are kept to a core each where that can be done. Invariant: an answer
//! without claims ends the run.

use std::path::Path;
use std::time::Duration;

use crate::Outcome;
use crate::client::{Client, request};
use crate::keys;
use crate::load::{Deck, Load};
use crate::process::{Cores, Folder, Server, can_pin};
use crate::report::Report;
use crate::scale;
use crate::seed_keys;
use crate::side::Side;
use crate::verify;

const TENANTS: u64 = 1_000;
const ROUND: Duration = Duration::from_millis(1_500);
const CONNECTIONS: usize = 16;
/// Of the peer's requests per second.
const LIMIT: f64 = 0.7;
const PATH: &str = "/v1/internal/keycloak/claims";
/// With what every answer begins.
const FOUND: &str = r#"{"tenant_id":""#;
/// How long a tenant's slug is.
const WIDTH: usize = "bench-000000001".len();

pub(crate) fn measure(report: &mut Report) -> Outcome {
    let (serving, asking) = if can_pin() { (Cores::First, Cores::Others) } else { (Cores::All, Cores::All) };
    let folder = Folder::new()?;
    let slugs = keys::deck(folder.path(), "slugs", TENANTS, |number| format!("bench-{:09}", number + 1))?;
    let slugs = Deck { file: &slugs, width: WIDTH };
    let file = folder.path().join("registry.sqlite");
    tokio::runtime::Runtime::new()?.block_on(seed_keys::fill_sqlite(&file, TENANTS, 1))?;
    let (registry, token) = verify::start(&folder, serving, &format!("sqlite:{}", file.display()))?;

    let asking_about = |slug: &str| request("POST", PATH, &token, &format!(r#"{{"tenant_slug":"{slug}"}}"#));
    let answer = Client::connect(registry.address, &token)?.post(PATH, r#"{"tenant_slug":"bench-000000001"}"#)?;
    if answer.status != 200 || !answer.body.starts_with(FOUND) {
        return Err(format!("the registry has no claims of the first tenant: {answer}").into());
    }
    let body = folder.path().join("body");
    std::fs::write(Path::new(&body), answer.body)?;
    let bare = Server::bare(&body, serving)?;

    let request = asking_about(&slugs.place());
    let mut sides = [(bare, Side::default()), (registry, Side::default())];
    for round in 0..=scale::rounds() {
        for (server, side) in &mut sides {
            let reads = Load::reads(&request, server.address, CONNECTIONS, scale::length(ROUND));
            let load = Load { deck: Some(slugs), begins: FOUND, cores: asking, ..reads };
            side.round(server, &load, &folder, round == 0)?;
        }
    }
    let [(_, bare), (_, registry)] = sides;
    let pinned = if can_pin() { "server on one core" } else { "not pinned" };
    report.show(format!("claims, bare axum handler ({pinned}, {CONNECTIONS} connections)"), bare.words());
    report.show(format!("claims, registry (warm, {TENANTS} tenants by slug)"), registry.words());
    registry.judge_rate(report, "claims, registry / bare, requests per second", &bare, LIMIT);
    Ok(())
}
