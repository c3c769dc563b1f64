//! Creating tenants: on PostgreSQL against pgbench with the same statements, and on a SQLite file for the figure alone.
//!
//! pgbench sends what the store sends for a creation without idempotency key (`crates/store/src/sql`), prepared, with
//! the same session settings and role, to the same durable server and tables. While it runs the registry is stopped
//! (SIGSTOP), so that following the feed costs the peer nothing. Invariant: both sides wait for the same commits: fsync is on.

use std::time::{Duration, Instant};

use store::testing::postgres::Cluster;

use crate::Outcome;
use crate::load::{Answered, Load, NUMBER};
use crate::pgbench::{self, CLIENTS};
use crate::process::{Cores, DEV_TOKEN, Folder, Server};
use crate::report::{Report, median};
use crate::seed;
use crate::side::{judge_ratio, words};

const ROUNDS: usize = 11;
const ROUND: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(700);
/// Of pgbench's transactions per second.
const LIMIT: f64 = 0.5;

/// One transaction of the store. Of the values only those differ that must be unique: two tenants and two events with
/// one number cannot meet, 62 random bits apart.
const SCRIPT: &str = r"\set n random(1, 4611686018427387904)
BEGIN;
INSERT INTO tenants (id, slug, name, name_folded, plan, status, status_reason, trial_ends_at, metadata, version, created_at, updated_at, frozen_at, admin_email, admin_name) VALUES (lpad(to_hex(:n::bigint), 32, '0')::uuid, 'p' || to_hex(:n::bigint), :name, :folded, :plan, :status, NULL, :ends::timestamptz, :empty, 1, :now::timestamptz, :now::timestamptz, NULL, NULL, NULL);
INSERT INTO audit_events (id, tenant_id, former_tenant_id, group_name, action, crud, actor_id, actor, target_id, target, created, received, source_ip, description, is_anonymous, is_failure, fields, component, version, external_id, metadata) VALUES (lpad(to_hex(:n::bigint), 32, '0')::uuid, lpad(to_hex(:n::bigint), 32, '0')::uuid, lpad(to_hex(:n::bigint), 32, '0')::uuid, :name, 'tenant.created', 'c', :actor, :party, lpad(to_hex(:n::bigint), 32, '0')::uuid::text, :target, :now::timestamptz, :now::timestamptz, :ip, NULL, false, false, :empty, NULL, NULL, NULL, :request);
SELECT feed_append(ARRAY['tenant'], ARRAY['upsert'], ARRAY[lpad(to_hex(:n::bigint), 32, '0')::uuid], ARRAY[lpad(to_hex(:n::bigint), 32, '0')::uuid::text], ARRAY[:value]);
COMMIT;
";

/// The values of the script's parameters, as long as those of the store.
const VALUES: [(&str, &str); 13] = [
    ("name", "Bench"),
    ("folded", "bench"),
    ("plan", "starter"),
    ("status", "trial"),
    ("ends", "2027-01-01T00:00:00Z"),
    ("now", "2026-11-21T00:00:00Z"),
    ("empty", "{}"),
    ("actor", "dev-token"),
    ("party", r#"{"id":"dev-token","name":null,"type":null,"href":null,"fields":{}}"#),
    (
        "target",
        r#"{"id":"01936a5e-0000-7000-8000-000000000000","name":"Bench","type":"tenant","href":null,"fields":{}}"#,
    ),
    ("ip", "127.0.0.1"),
    ("request", r#"{"request_id":"01936a5e-0000-7000-8000-000000000000"}"#),
    (
        "value",
        r#"{"id":"01936a5e-0000-7000-8000-000000000000","slug":"bench-000000001","name":"Bench","plan":"starter","status":"trial","status_reason":null,"trial_ends_at":"2027-01-01T00:00:00Z","metadata":{},"version":1,"created_at":"2026-11-21T00:00:00Z","updated_at":"2026-11-21T00:00:00Z","frozen_at":null}"#,
    ),
];

pub(crate) fn measure(report: &mut Report) -> Outcome {
    on_postgres(report)?;
    on_sqlite(report)
}

fn on_postgres(report: &mut Report) -> Outcome {
    let cluster = Cluster::start();
    let url = cluster.create_database();
    tokio::runtime::Runtime::new()?.block_on(seed::migrate_postgres(&url))?;
    let folder = Folder::new()?;
    let began = Instant::now();
    let mut registry = Server::registry(&folder, Cores::All, &[("DATABASE_URL", &url)])?;
    registry.ready(began)?;
    let script = folder.path().join("create.sql");
    std::fs::write(&script, SCRIPT)?;

    let (mut peer, mut own, mut next) = (Vec::new(), Vec::new(), 0);
    for round in 0..=ROUNDS {
        let warming = round == 0;
        registry.freeze()?;
        let length = if warming { Duration::from_secs(1) } else { ROUND };
        let transactions = pgbench::run(&cluster, &url, &script, &VALUES, length)?;
        registry.thaw()?;
        // Also catches up with what pgbench put into the feed.
        next += post(&registry, &folder, next, WARM_UP)?.requests;
        let answered = post(&registry, &folder, next, ROUND)?;
        next += answered.requests;
        if !warming {
            peer.push(transactions);
            own.push(answered);
        }
    }
    report.show(
        format!("create on PostgreSQL, pgbench -M prepared ({CLIENTS} clients)"),
        format!("{:.0} tx/s", median(peer.iter().copied())),
    );
    report.show(format!("create on PostgreSQL, registry ({CLIENTS} connections)"), words(&own));
    let rates = own.iter().map(|round| round.per_second);
    judge_ratio(report, "create on PostgreSQL, registry / pgbench", rates, peer, LIMIT);
    Ok(())
}

fn on_sqlite(report: &mut Report) -> Outcome {
    let folder = Folder::new()?;
    let database = format!("sqlite:{}", folder.path().join("registry.sqlite").display());
    let began = Instant::now();
    let mut registry = Server::registry(&folder, Cores::All, &[("DATABASE_URL", &database)])?;
    registry.ready(began)?;
    let mut next = post(&registry, &folder, 0, WARM_UP)?.requests;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let answered = post(&registry, &folder, next, Duration::from_secs(1))?;
        next += answered.requests;
        rounds.push(answered);
    }
    report.show(format!("create on a SQLite file, synchronous FULL ({CLIENTS} connections)"), words(&rounds));
    Ok(())
}

fn post(registry: &Server, folder: &Folder, first: u64, length: Duration) -> Outcome<Answered> {
    let body = format!(r#"{{"slug":"bench-{NUMBER}","name":"Bench"}}"#);
    let request = format!(
        "POST /v1/tenants HTTP/1.1\r\nhost: registry.test\r\nauthorization: Bearer {DEV_TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let load = Load {
        request: &request,
        deck: None,
        begins: "",
        status: 201,
        address: registry.address,
        connections: CLIENTS,
        length,
        numbers: first..u64::MAX,
        cores: Cores::All,
    };
    load.run(folder)
}
