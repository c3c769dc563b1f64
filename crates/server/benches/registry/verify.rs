//! Verifying keys: warm against an axum handler that reads the body and answers the same bytes, and cold on both stores.
//!
//! The caller is a key of the platform with `registry:internal`; it asks about another of 100,000 keys each time, in an
//! order that both sides share. Server and generator are kept to a core each where that can be done, as for the warm read
//! of a tenant. Invariant: an answer that is not the expected code ends the run: no figure counts another outcome.

use std::path::Path;
use std::time::{Duration, Instant};

use store::testing::postgres::Cluster;

use crate::Outcome;
use crate::client::{Client, make_platform_key, request};
use crate::keys;
use crate::load::{Answered, Deck, Load};
use crate::process::{Cores, DEV_TOKEN, Folder, Server, can_pin};
use crate::report::Report;
use crate::scale;
use crate::seed_keys::{self, SCOPE};
use crate::side::{Side, words};

const KEYS: u64 = 100_000;
const TENANTS: u64 = 1_000;
const ROUND: Duration = Duration::from_millis(1_500);
const CONNECTIONS: usize = 16;
const COLD_CONNECTIONS: usize = 8;
/// Of the peer's requests per second.
const RATE_LIMIT: f64 = 0.7;
/// Of the peer's 99th percentile.
const P99_LIMIT: f64 = 2.0;
pub(crate) const PATH: &str = "/v1/internal/api-keys/verify";
/// With what the answer to a good key begins.
pub(crate) const VALID: &str = r#"{"valid":true,"code":"valid""#;
const MALFORMED: &str = r#"{"valid":false,"code":"malformed""#;

pub(crate) fn measure(report: &mut Report) -> Outcome {
    let (keys, tenants) = (scale::many(KEYS), scale::many(TENANTS));
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = Folder::new()?;
    let good = keys::deck(folder.path(), "good", keys, keys::key)?;
    let good = Deck { file: &good, width: keys::WIDTH };

    let file = folder.path().join("registry.sqlite");
    runtime.block_on(seed_keys::fill_sqlite(&file, tenants, keys))?;
    let database = format!("sqlite:{}", file.display());
    warm(report, &database, keys, good)?;
    cold(report, "a SQLite file", &database, keys, good)?;

    let cluster = Cluster::start();
    let url = cluster.create_database();
    runtime.block_on(seed_keys::fill_postgres(&url, tenants, keys))?;
    cold(report, "PostgreSQL", &url, keys, good)
}

fn warm(report: &mut Report, database: &str, keys: u64, good: Deck<'_>) -> Outcome {
    let (serving, asking) = if can_pin() { (Cores::First, Cores::Others) } else { (Cores::All, Cores::All) };
    let folder = Folder::new()?;
    let bad = keys::deck(folder.path(), "bad", keys, keys::broken)?;
    let bad = Deck { file: &bad, width: keys::WIDTH };
    let (registry, token) = start(&folder, serving, database)?;
    fill(&registry, &folder, &token, good, keys)?;
    let bare = Server::bare(&typical_answer(&registry, &folder, &token)?, serving)?;

    let request = asking_about(&token, good);
    let mut sides = [Side::default(), Side::default(), Side::default()];
    for round in 0..=scale::rounds() {
        let warming = round == 0;
        let kinds = [(&bare, good, VALID), (&registry, good, VALID), (&registry, bad, MALFORMED)];
        for (side, (server, deck, begins)) in sides.iter_mut().zip(kinds) {
            // Each round elsewhere in the deck, and both sides at the same place.
            let first = round as u64 * (keys / 11 + 1);
            let load = Load {
                request: &request,
                deck: Some(deck),
                begins,
                status: 200,
                address: server.address,
                connections: CONNECTIONS,
                length: scale::length(ROUND),
                numbers: first..u64::MAX,
                cores: asking,
            };
            side.round(server, &load, &folder, warming)?;
        }
    }

    let [bare, warm, refused] = sides;
    let pinned = if can_pin() { "server on one core" } else { "not pinned" };
    report.show(format!("verify, bare axum handler ({pinned}, {CONNECTIONS} connections)"), bare.words());
    report.show(format!("verify, registry (warm, {keys} keys)"), warm.words());
    warm.judge_rate(report, "verify, registry / bare, requests per second", &bare, RATE_LIMIT);
    let ratio = warm.p99_micros() / bare.p99_micros();
    report.judge(
        "verify, registry / bare, 99th percentile",
        format!("{ratio:.2}"),
        &format!("at most {P99_LIMIT}"),
        ratio <= P99_LIMIT,
    );
    report.show("verify, refused by its checksum (no look-up)", refused.words());
    Ok(())
}

/// Every key for the first time: a look-up in the store for each, and for each tenant another two.
fn cold(report: &mut Report, store: &str, database: &str, keys: u64, deck: Deck<'_>) -> Outcome {
    let folder = Folder::new()?;
    let (registry, token) = start(&folder, Cores::All, database)?;
    let count = scale::rounds() as u64;
    let mut rounds = Vec::new();
    for round in 0..count {
        let numbers = keys * round / count..keys * (round + 1) / count;
        rounds.push(once(&registry, &folder, &token, deck, numbers, COLD_CONNECTIONS)?);
    }
    report.show(
        format!("verify on {store}, each key for the first time ({COLD_CONNECTIONS} connections)"),
        words(&rounds),
    );
    Ok(())
}

/// A registry that is ready, and a key of somebody who may ask it about keys.
pub(crate) fn start(folder: &Folder, cores: Cores, database: &str) -> Outcome<(Server, String)> {
    let began = Instant::now();
    let mut registry = Server::registry(folder, cores, &[("DATABASE_URL", database)])?;
    registry.ready(began)?;
    let token = make_platform_key(&mut Client::connect(registry.address, DEV_TOKEN)?, "registry:internal")?;
    Ok((registry, token))
}

/// Has every key verified once.
pub(crate) fn fill(registry: &Server, folder: &Folder, token: &str, deck: Deck<'_>, keys: u64) -> Outcome<Answered> {
    once(registry, folder, token, deck, 0..keys, CONNECTIONS)
}

fn once(
    registry: &Server,
    folder: &Folder,
    token: &str,
    deck: Deck<'_>,
    numbers: std::ops::Range<u64>,
    connections: usize,
) -> Outcome<Answered> {
    let wanted = numbers.end - numbers.start;
    let load = Load {
        request: &asking_about(token, deck),
        deck: Some(deck),
        begins: VALID,
        status: 200,
        address: registry.address,
        connections,
        length: Duration::from_secs(1_200),
        numbers,
        cores: Cores::All,
    };
    let answered = load.run(folder)?;
    if answered.requests == wanted {
        Ok(answered)
    } else {
        Err(format!("{} keys were verified", answered.requests).into())
    }
}

fn asking_about(token: &str, deck: Deck<'_>) -> String {
    request("POST", PATH, token, &body(&deck.place()))
}

/// The question whether a key is good for what a product wants of it.
pub(crate) fn body(key: &str) -> String {
    format!(r#"{{"key":"{key}","scope":"{SCOPE}"}}"#)
}

/// A file with what the registry answers about a good key.
fn typical_answer(registry: &Server, folder: &Folder, token: &str) -> Outcome<std::path::PathBuf> {
    let reply = Client::connect(registry.address, token)?.post(PATH, &body(&keys::key(0)))?;
    if reply.status != 200 || !reply.body.starts_with(VALID) {
        return Err(format!("the registry does not take the first key: {reply}").into());
    }
    let file = folder.path().join("body");
    std::fs::write(Path::new(&file), reply.body)?;
    Ok(file)
}
