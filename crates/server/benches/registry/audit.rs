//! Publishing audit events on PostgreSQL: one by one against pgbench, by the thousand against COPY.
//!
//! The peers write what the registry wrote: the statements and the rows are made of rows that it stored, so that they
//! stay the same when a column is added. The registry is stopped (SIGSTOP) while a peer runs. Invariant: both sides write
//! to the same table with the same indexes, on a server that waits for the disk.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection, Row as _};
use store::testing::postgres::Cluster;

use crate::Outcome;
use crate::audit_copy::{self, Rows};
use crate::client::{Client, make_platform_key, make_tenant, request};
use crate::load::{Answered, Load};
use crate::pgbench::{self, CLIENTS};
use crate::process::{Cores, DEV_TOKEN, Folder, Server};
use crate::report::{Report, median};
use crate::scale;
use crate::seed::migrate_postgres;
use crate::side::{judge_ratio, words};

const ROUND: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(700);
/// Of the peer's events per second.
const LIMIT: f64 = 0.5;
/// Events of an array.
const ARRAY: usize = 1_000;

/// A registry on a database of its own, with a tenant and somebody who may publish for it.
pub(crate) struct Scene {
    pub(crate) folder: Folder,
    pub(crate) registry: Server,
    pub(crate) url: String,
    pub(crate) admin: Client,
    /// A key of the platform that may publish.
    pub(crate) token: String,
}

impl Scene {
    pub(crate) fn set(cluster: &Cluster) -> Outcome<Self> {
        let url = cluster.create_database();
        tokio::runtime::Runtime::new()?.block_on(migrate_postgres(&url))?;
        let folder = Folder::new()?;
        let began = Instant::now();
        let mut registry = Server::registry(&folder, Cores::All, &[("DATABASE_URL", &url)])?;
        registry.ready(began)?;
        let mut admin = Client::connect(registry.address, DEV_TOKEN)?;
        let token = make_platform_key(&mut admin, "audit:write")?;
        Ok(Self { folder, registry, url, admin, token })
    }

    /// Publishes, so that there are rows to make the peer's of.
    pub(crate) fn publish(&self, body: &str) -> Outcome {
        Client::connect(self.registry.address, &self.token)?.post("/v1/audit", body)?.json(201)?;
        Ok(())
    }

    fn post(&self, body: &str, length: Duration) -> Outcome<Answered> {
        let load = Load {
            request: &request("POST", "/v1/audit", &self.token, body),
            deck: None,
            begins: "",
            status: 201,
            address: self.registry.address,
            connections: CLIENTS,
            length,
            numbers: 0..u64::MAX,
            cores: Cores::All,
        };
        load.run(&self.folder)
    }
}

/// An event as products send it.
pub(crate) fn event(tenant: &str) -> String {
    format!(
        r#"{{"action":"document.shared","crud":"u","group":{{"id":"{tenant}"}},"actor":{{"id":"user-4711","name":"Erika Mustermann"}},"target":{{"id":"document-20261121","name":"Plan 2027","type":"document"}},"source_ip":"203.0.113.7","description":"Shared with the team","fields":{{"role":"reader"}},"component":"web","version":"1.4.2"}}"#
    )
}

pub(crate) fn measure(report: &mut Report) -> Outcome {
    let cluster = Cluster::start();
    let mut scene = Scene::set(&cluster)?;
    let tenant = make_tenant(&mut scene.admin, "bench-audit")?;
    single(report, &cluster, &scene, &tenant)?;
    arrays(report, &scene, &tenant)?;
    drop(scene);
    crate::audit_pages::measure(report, &cluster)
}

fn single(report: &mut Report, cluster: &Cluster, scene: &Scene, tenant: &str) -> Outcome {
    let body = event(tenant);
    scene.publish(&body)?;
    let peer = tokio::runtime::Runtime::new()?.block_on(Insert::of_newest(&scene.url))?;
    let whole = scene.folder.path().join("insert.sql");
    std::fs::write(&whole, format!("BEGIN;\n{}COMMIT;\n", peer.statement))?;
    let alone = scene.folder.path().join("insert-alone.sql");
    std::fs::write(&alone, &peer.statement)?;

    let (mut in_three, mut in_one, mut own) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=scale::rounds() {
        let length = scale::length(if round == 0 { Duration::from_secs(1) } else { ROUND });
        scene.registry.freeze()?;
        let transactions = pgbench::run(cluster, &scene.url, &whole, &peer.values, length)?;
        let statements = pgbench::run(cluster, &scene.url, &alone, &peer.values, length)?;
        scene.registry.thaw()?;
        scene.post(&body, WARM_UP)?;
        let answered = scene.post(&body, length)?;
        if round > 0 {
            in_three.push(transactions);
            in_one.push(statements);
            own.push(answered);
        }
    }
    report.show(
        format!("audit, pgbench -M prepared, the same row, BEGIN, INSERT, COMMIT ({CLIENTS} clients)"),
        format!("{:.0} events/s", median(in_three.iter().copied())),
    );
    report.show(
        "audit, pgbench -M prepared, the same row, INSERT alone",
        format!("{:.0} events/s", median(in_one.iter().copied())),
    );
    report.show(format!("audit, single events ({CLIENTS} connections)"), words(&own));
    let rates = own.iter().map(|round| round.per_second);
    judge_ratio(report, "audit, single events / pgbench, BEGIN, INSERT, COMMIT", rates, in_three, LIMIT);
    let rates = own.iter().map(|round| round.per_second);
    judge_ratio(report, "audit, single events / pgbench, INSERT alone", rates, in_one, LIMIT);
    Ok(())
}

fn arrays(report: &mut Report, scene: &Scene, tenant: &str) -> Outcome {
    let body = format!("[{}]", vec![event(tenant); ARRAY].join(","));
    scene.publish(&body)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let rows = runtime.block_on(Rows::newest(&scene.url, ARRAY))?;

    let (mut peer, mut own) = (Vec::new(), Vec::new());
    for round in 0..=scale::rounds() {
        let length = scale::length(ROUND);
        scene.registry.freeze()?;
        let copied = runtime.block_on(audit_copy::run(&scene.url, &rows, CLIENTS, length))?;
        scene.registry.thaw()?;
        scene.post(&body, WARM_UP)?;
        let answered = scene.post(&body, length)?;
        if round > 0 {
            peer.push(copied);
            own.push(answered);
        }
    }
    let events = |round: &Answered| round.per_second * ARRAY as f64;
    report.show(
        format!("audit, COPY of {ARRAY} rows each ({CLIENTS} clients)"),
        format!("{:.0} events/s", median(peer.iter().copied())),
    );
    report.show(
        format!("audit, arrays of {ARRAY} ({CLIENTS} connections)"),
        format!("{:.0} events/s; {}", median(own.iter().map(events)), words(&own)),
    );
    judge_ratio(report, "audit, arrays / COPY, events per second", own.iter().map(events), peer, LIMIT);
    Ok(())
}

/// The statement that writes an event like the newest, and the values of its parameters.
struct Insert {
    statement: String,
    values: Vec<(String, String)>,
}

impl Insert {
    /// Of the row only the id and the times differ from event to event.
    async fn of_newest(url: &str) -> Outcome<Self> {
        const ROW: &str = "SELECT to_jsonb(e)::text FROM audit_events e ORDER BY received DESC, id DESC LIMIT 1";
        let mut connection = PgConnection::connect(url).await?;
        let columns = columns(&mut connection).await?;
        let row: String = sqlx::query_scalar(ROW).fetch_one(&mut connection).await?;
        connection.close().await?;
        let row: serde_json::Value = serde_json::from_str(&row)?;
        let mut values = Vec::new();
        let mut expressions = Vec::new();
        for (name, kind) in &columns {
            expressions.push(match (name.as_str(), &row[name]) {
                ("id", _) => "lpad(to_hex(:n::bigint), 32, '0')::uuid".to_owned(),
                ("created" | "received", _) => "now()".to_owned(),
                (_, serde_json::Value::Null) => "NULL".to_owned(),
                (_, value) => {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    values.push((format!("v_{name}"), text));
                    format!(":v_{name}::{kind}")
                }
            });
        }
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let statement = format!(
            "\\set n random(1, 4611686018427387904)\nINSERT INTO audit_events ({}) VALUES ({});\n",
            names.join(", "),
            expressions.join(", ")
        );
        Ok(Self { statement, values })
    }
}

/// The columns of the log with their types, in the order of the table.
pub(crate) async fn columns(connection: &mut PgConnection) -> Outcome<Vec<(String, String)>> {
    const SQL: &str = "SELECT attname::text AS name, format_type(atttypid, atttypmod) AS kind FROM pg_attribute \
        WHERE attrelid = 'audit_events'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let rows = sqlx::query(SQL).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("kind")?))).collect()
}
