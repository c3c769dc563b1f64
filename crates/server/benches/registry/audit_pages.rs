//! Pages of an audit log with five million events: the first against the thousandth.
//!
//! Five tenants have a million events each, over five months. The cursors are walked once, to the thousandth page; then
//! first and thousandth are asked for in turn. Invariant: both pages are whole, so that they differ in depth alone.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection, Postgres, QueryBuilder};
use store::testing::postgres::Cluster;

use crate::Outcome;
use crate::audit::{Scene, columns, event};
use crate::client::{Client, make_tenant};
use crate::histogram::{Histogram, millis};
use crate::load::Load;
use crate::process::{Cores, DEV_TOKEN, get};
use crate::report::Report;
use crate::scale;
use crate::side::Side;

const EVENTS: u64 = 5_000_000;
const TENANTS: u64 = 5;
const DAYS: u64 = 150;
const PAGES: u64 = 1_000;
const PAGE: usize = 50;
const ROUND: Duration = Duration::from_millis(1_500);
const CONNECTIONS: usize = 4;
/// How many times the one median may be the other.
const RATIO_LIMIT: f64 = 2.0;
const P99_LIMIT: Duration = Duration::from_millis(20);

pub(crate) fn measure(report: &mut Report, cluster: &Cluster) -> Outcome {
    let mut scene = Scene::set(cluster)?;
    let mut tenants = Vec::new();
    for number in 0..TENANTS {
        let tenant = make_tenant(&mut scene.admin, &format!("bench-pages-{number}"))?;
        scene.publish(&event(&tenant))?;
        tenants.push(tenant);
    }
    let began = Instant::now();
    tokio::runtime::Runtime::new()?.block_on(multiply(&scene.url))?;
    report.show(
        format!("audit pages, {} events of {TENANTS} tenants in {DAYS} days", scale::many(EVENTS)),
        format!("written in {:.0} s", began.elapsed().as_secs_f64()),
    );
    compare(report, &scene, "without filter", &format!("/v1/audit?limit={PAGE}"))?;
    compare(report, &scene, "of one tenant", &format!("/v1/audit?limit={PAGE}&tenant_id={}", tenants[2]))
}

/// Makes very many events of the one that each tenant has, a few seconds apart from each other.
async fn multiply(url: &str) -> Outcome {
    const MONTHS: &str = "SELECT audit_make_partition((now() - make_interval(days => n))::date) \
        FROM generate_series(0, 150, 10) n";
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(MONTHS).execute(&mut connection).await?;
    let columns = columns(&mut connection).await?;
    let mut insert = QueryBuilder::<Postgres>::new("INSERT INTO audit_events (");
    let mut names = insert.separated(", ");
    for (name, _) in &columns {
        names.push(name);
    }
    insert.push(
        ") WITH one AS MATERIALIZED (SELECT *, row_number() OVER (ORDER BY tenant_id) - 1 AS place \
         FROM audit_events WHERE action = 'document.shared') SELECT ",
    );
    let mut values = insert.separated(", ");
    for (name, _) in &columns {
        match name.as_str() {
            "id" => values.push("lpad(to_hex(n), 32, '0')::uuid"),
            "created" | "received" => values.push("now() - (count - n) * pause"),
            other => values.push("one.").push_unseparated(other),
        };
    }
    insert.push(" FROM (SELECT ").push_bind(i64::try_from(scale::many(EVENTS))?);
    insert.push("::bigint AS count, make_interval(days => ").push_bind(i32::try_from(DAYS)?).push(") / ");
    insert
        .push_bind(i32::try_from(scale::many(EVENTS))?)
        .push("::float8 AS pause) whole CROSS JOIN LATERAL generate_series(1, count) n JOIN one ON one.place = n % 5");
    insert.build().execute(&mut connection).await?;
    sqlx::raw_sql("VACUUM ANALYZE audit_events").execute(&mut connection).await?;
    Ok(connection.close().await?)
}

fn compare(report: &mut Report, scene: &Scene, what: &str, first: &str) -> Outcome {
    let (deep, walk) = walk(scene, first)?;
    let requests = [get(first, DEV_TOKEN), get(&deep, DEV_TOKEN)];
    let mut sides = [Side::default(), Side::default()];
    for round in 0..=scale::rounds() {
        for (side, request) in sides.iter_mut().zip(&requests) {
            let load = Load {
                request,
                deck: None,
                begins: r#"{"items":[{"#,
                status: 200,
                address: scene.registry.address,
                connections: CONNECTIONS,
                length: scale::length(ROUND),
                numbers: 0..u64::MAX,
                cores: Cores::All,
            };
            side.round(&scene.registry, &load, &scene.folder, round == 0)?;
        }
    }
    let [first, deep] = sides;
    let pages = walk.len();
    let walk = Histogram::of(walk);
    report.show(
        format!("audit pages {what}, {pages} pages one after the other"),
        format!(
            "p50 {}, p99 {}, longest {}",
            millis(walk.percentile(50)),
            millis(walk.percentile(99)),
            millis(walk.longest())
        ),
    );
    report.show(format!("audit pages {what}, the first ({CONNECTIONS} connections)"), first.words());
    report.show(format!("audit pages {what}, number {pages}"), deep.words());
    let ratio = deep.p50_micros() / first.p50_micros();
    report.judge(
        format!("audit pages {what}, number {pages} / the first, median"),
        format!("{ratio:.2}"),
        "within 2 times, either way",
        (1.0 / RATIO_LIMIT..=RATIO_LIMIT).contains(&ratio),
    );
    let (of_first, of_deep) = (first.p99_micros(), deep.p99_micros());
    report.judge(
        format!("audit pages {what}, 99th percentile"),
        format!(
            "first {:.1} ms (worst round {}), number {pages} {:.1} ms (worst round {})",
            of_first / 1e3,
            millis(first.worst_p99()),
            of_deep / 1e3,
            millis(deep.worst_p99())
        ),
        "under 20 ms for both",
        of_first.max(of_deep) < P99_LIMIT.as_secs_f64() * 1e6,
    );
    Ok(())
}

/// Goes from page to page; the path of the last, and how long each took.
fn walk(scene: &Scene, first: &str) -> Outcome<(String, Vec<Duration>)> {
    let mut client = Client::connect(scene.registry.address, DEV_TOKEN)?;
    let mut path = first.to_owned();
    let mut times = Vec::new();
    // A short run has a hundredth of the events, and of the pages.
    for number in 1..=scale::many(PAGES) {
        let began = Instant::now();
        let reply = client.get(&path)?;
        times.push(began.elapsed());
        let page = reply.json(200)?;
        let items = page["items"].as_array().map_or(0, Vec::len);
        if items != PAGE {
            return Err(format!("page {number} has {items} events").into());
        }
        if number < scale::many(PAGES) {
            let cursor = page["next_cursor"].as_str().ok_or_else(|| format!("page {number} is the last"))?;
            path = format!("{first}&cursor={cursor}");
        }
    }
    Ok((path, times))
}
