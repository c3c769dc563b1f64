//! Kill -9 in the middle of a burst of writes: what was acknowledged is there afterwards, whole, and nothing is there
//! by halves. The server is killed over both stores; over PostgreSQL, the database is killed under a running server too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use store::testing::postgres::{Cluster, is_short_run};
use tokio::task::JoinSet;

use crate::support::client::DEV_TOKEN;
use crate::support::process::{Process, Program, http};
use crate::support::server::eventually;
use crate::support::sql::{texts_of_postgres, texts_of_sqlite};

const CLIENTS: usize = 8;
const ROUNDS: usize = 5;

/// Where the tenants are.
enum Place {
    File(PathBuf),
    Postgres(String),
}

impl Place {
    fn url(&self) -> String {
        match self {
            Self::File(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// The first column, a text, of every row.
    async fn texts(&self, sqlite: &str, postgres: &str) -> Vec<String> {
        match self {
            Self::File(path) => texts_of_sqlite(path, sqlite).await,
            Self::Postgres(url) => texts_of_postgres(url, postgres).await,
        }
    }

    async fn start(&self) -> Process {
        Program::new().set("DATABASE_URL", &self.url()).start().await
    }

    /// A server by whose clock every lease of an idempotency key (120 s) is over.
    async fn start_later(&self) -> Process {
        Program::new().set("DATABASE_URL", &self.url()).set("DEV_CLOCK_OFFSET_SECONDS", "130").start().await
    }
}

/// What the clients of all rounds heard.
#[derive(Default)]
struct Heard {
    /// Slug and id of every 201.
    acknowledged: Mutex<BTreeMap<String, String>>,
    /// Key and body of requests that got no answer, or a 5xx.
    open: Mutex<Vec<(String, Value)>>,
    /// Those whose repetition found the key still held by the dead server's lease.
    leased: Mutex<Vec<(String, Value)>>,
    sent: AtomicUsize,
}

impl Heard {
    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }
}

/// One request. Its outcome is heard, whatever it is; false where the server is gone.
async fn create(client: &reqwest::Client, url: &str, key: &str, body: &Value, heard: &Heard) -> bool {
    let request = client.post(format!("{url}/v1/tenants")).bearer_auth(DEV_TOKEN).header("idempotency-key", key);
    let answer = request.header("content-type", "application/json").body(body.to_string()).send().await;
    let text = match answer {
        Ok(answer) if answer.status().as_u16() == 201 => answer.text().await,
        Ok(answer) if answer.status().is_server_error() => {
            heard.open.lock().unwrap().push((key.to_owned(), body.clone()));
            return true;
        }
        Ok(answer) => panic!("{}: {}", answer.status(), answer.text().await.unwrap_or_default()),
        Err(error) => Err(error),
    };
    // A 201 whose body was cut off counts as open: the client could not read the id.
    let made = text.ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let Some(made) = made else {
        heard.open.lock().unwrap().push((key.to_owned(), body.clone()));
        return false;
    };
    let (slug, id) = (made["slug"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned());
    heard.acknowledged.lock().unwrap().insert(slug, id);
    true
}

/// Clients that create tenants until they are told to stop, or the server is gone.
fn burst(url: &str, round: usize, heard: &Arc<Heard>, stop: &Arc<AtomicBool>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (url, heard, stop) = (url.to_owned(), Arc::clone(heard), Arc::clone(stop));
        clients.spawn(async move {
            let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
            for number in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let slug = format!("t-{round}-{client}-{number}");
                // A host too, so that a tenant has more than one row that could be missing.
                let body = json!({ "slug": slug, "name": "Burst", "hosts": [format!("https://{slug}.example.com")] });
                heard.sent.fetch_add(1, Ordering::SeqCst);
                if !create(&http, &url, &format!("key-{slug}"), &body, &heard).await {
                    break;
                }
            }
        });
    }
    clients
}

/// A moment within the burst, another one in each round and each run: some time after the first answers came.
async fn a_moment(round: usize, heard: &Heard) {
    let before = heard.count();
    eventually("the burst", async || heard.count() >= before + 2 * CLIENTS).await;
    // A moment is the point here: nothing is to be true by then.
    let micros = (u64::from(std::process::id()) * 7_919 + 113_000 * round as u64) % 300_000;
    tokio::time::sleep(Duration::from_micros(micros)).await;
}

/// Repeats what was left open, with the same keys. Never `slug_taken`.
async fn repeat_open(url: &str, heard: &Heard, figures: &mut Figures) {
    let open = std::mem::take(&mut *heard.open.lock().unwrap());
    for (key, body) in open {
        let request = http().post(format!("{url}/v1/tenants")).bearer_auth(DEV_TOKEN).header("idempotency-key", &key);
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        let (status, replayed) = (answer.status().as_u16(), answer.headers().contains_key("idempotent-replayed"));
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        match (status, answer["code"].as_str()) {
            (201, _) => {
                let id = answer["id"].as_str().unwrap().to_owned();
                heard.acknowledged.lock().unwrap().insert(body["slug"].as_str().unwrap().to_owned(), id);
                *(if replayed { &mut figures.replayed } else { &mut figures.made_anew }) += 1;
            }
            (409, Some("idempotency_in_progress")) => {
                figures.leased += 1;
                heard.leased.lock().unwrap().push((key, body));
            }
            _ => panic!("{key}: {status} {answer}"),
        }
    }
}

#[derive(Debug, Default)]
struct Figures {
    rounds: usize,
    /// Heard in the bursts, that is, before or between the kills.
    burst: usize,
    replayed: usize,
    made_anew: usize,
    leased: usize,
    /// Of the leased ones, once the lease was over.
    after_lease: usize,
}

/// Repeats those that were leased, by a clock that says that the leases are over: each succeeds, as a replay or anew.
async fn repeat_leased(place: &Place, heard: &Heard, figures: &mut Figures) -> Process {
    let server = place.start_later().await;
    let leased = std::mem::take(&mut *heard.leased.lock().unwrap());
    figures.after_lease = leased.len();
    heard.open.lock().unwrap().extend(leased);
    let mut late = Figures::default();
    repeat_open(&server.url, heard, &mut late).await;
    assert_eq!((late.leased, late.replayed + late.made_anew), (0, figures.after_lease));
    server
}

/// Every acknowledged tenant is there over HTTP, and every tenant is there whole: one audit event, one feed row for
/// itself and one for its host.
async fn judge(what: &str, place: &Place, server: &Process, heard: &Heard, figures: &Figures) {
    let acknowledged = heard.acknowledged.lock().unwrap().clone();
    let admin = server.admin();
    let mut missing = Vec::new();
    for (slug, id) in &acknowledged {
        let by_slug = admin.get(&format!("/v1/tenants/by-slug/{slug}")).await;
        let by_id = admin.get(&format!("/v1/tenants/{id}")).await;
        if by_slug.status != 200 || by_slug.body != by_id.body || by_slug.body["id"].as_str() != Some(id) {
            missing.push(slug.clone());
        }
    }
    let sorted = |mut texts: Vec<String>| {
        texts.sort();
        texts
    };
    let stored = sorted(
        place.texts("SELECT hex(id) FROM tenants", "SELECT upper(replace(id::text, '-', '')) FROM tenants").await,
    );
    let audited = sorted(
        place
            .texts(
                "SELECT hex(tenant_id) FROM audit_events WHERE action = 'tenant.created'",
                "SELECT upper(replace(tenant_id::text, '-', '')) FROM audit_events WHERE action = 'tenant.created'",
            )
            .await,
    );
    const HOSTED: [&str; 2] = [
        "SELECT hex(tenant_id) FROM tenant_hosts",
        "SELECT upper(replace(tenant_id::text, '-', '')) FROM tenant_hosts",
    ];
    let hosted = sorted(place.texts(HOSTED[0], HOSTED[1]).await);
    let feed = |kind: &str| {
        (
            format!("SELECT hex(tenant_id) FROM changes WHERE kind = '{kind}' AND op = 'upsert'"),
            format!(
                "SELECT upper(replace(tenant_id::text, '-', '')) FROM changes WHERE kind = '{kind}' AND op = 'upsert'"
            ),
        )
    };
    let (sqlite, postgres) = feed("tenant");
    let told = sorted(place.texts(&sqlite, &postgres).await);
    let (sqlite, postgres) = feed("host");
    let told_hosts = sorted(place.texts(&sqlite, &postgres).await);
    let ids: BTreeSet<String> = acknowledged.values().map(|id| id.replace('-', "").to_uppercase()).collect();
    eprintln!(
        "{what}: rounds {}, sent {}, acknowledged {} ({} in the bursts), found {}, missing {}; stored {}, audited {}, in the feed {}; \
         repeated with their key: replayed {}, made anew {}, still leased {} (all of \
         these succeeded once it was over)",
        figures.rounds,
        heard.sent.load(Ordering::SeqCst),
        acknowledged.len(),
        figures.burst,
        acknowledged.len() - missing.len(),
        missing.len(),
        stored.len(),
        audited.len(),
        told.len(),
        figures.replayed,
        figures.made_anew,
        figures.leased,
    );
    assert_eq!(missing, Vec::<String>::new(), "acknowledged, and not there");
    assert!(figures.burst >= 2 * CLIENTS * figures.rounds, "too few writes to say anything: {figures:?}");
    assert!(ids.iter().all(|id| stored.binary_search(id).is_ok()));
    assert_eq!(stored, audited, "tenants and their audit events");
    assert_eq!(stored, told, "tenants and their feed rows");
    assert_eq!(stored, hosted, "tenants and their hosts");
    assert_eq!(stored, told_hosts, "tenants and the feed rows of their hosts");
    // The file's or the cluster's own tenants only: nothing is seeded into a durable store.
    assert!(stored.len() <= heard.sent.load(Ordering::SeqCst));
}

/// Kills the server in a burst, `ROUNDS` times.
async fn kill_the_server(what: &str, place: Place) {
    let heard = Arc::new(Heard::default());
    let mut figures = Figures::default();
    let mut server = place.start().await;
    for round in 0..ROUNDS {
        let (stop, before) = (Arc::new(AtomicBool::new(false)), heard.count());
        let mut clients = burst(&server.url, round, &heard, &stop);
        a_moment(round, &heard).await;
        server.kill_9();
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
        figures.burst += heard.count() - before;
        server = place.start().await;
        repeat_open(&server.url, &heard, &mut figures).await;
        figures.rounds += 1;
    }
    server.kill_9();
    let server = repeat_leased(&place, &heard, &mut figures).await;
    judge(what, &place, &server, &heard, &figures).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_over_a_sqlite_file_loses_nothing_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    kill_the_server("server killed, SQLite file", Place::File(folder.path().join("registry.sqlite"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_over_postgres_loses_nothing_that_it_acknowledged() {
    if is_short_run() {
        eprintln!("left out: needs PostgreSQL, and TEST_SHORT is set");
        return;
    }
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let url = cluster.create_database();
    kill_the_server("server killed, PostgreSQL", Place::Postgres(url)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_killed_under_a_running_server_loses_nothing_and_the_server_recovers_by_itself() {
    if is_short_run() {
        eprintln!("left out: needs PostgreSQL, and TEST_SHORT is set");
        return;
    }
    let mut cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let place = Place::Postgres(cluster.create_database());
    let heard = Arc::new(Heard::default());
    let mut figures = Figures::default();
    let server = place.start().await;
    for round in 0..ROUNDS {
        let (stop, before) = (Arc::new(AtomicBool::new(false)), heard.count());
        let mut clients = burst(&server.url, round, &heard, &stop);
        a_moment(round, &heard).await;
        cluster = tokio::task::spawn_blocking(move || {
            cluster.kill_9();
            cluster.restart();
            cluster
        })
        .await
        .unwrap();
        eventually("readiness after the database came back", async || server.is_ready().await).await;
        let recovered = heard.count();
        eventually("a write after the database came back", async || heard.count() > recovered).await;
        stop.store(true, Ordering::SeqCst);
        while let Some(client) = clients.join_next().await {
            client.unwrap();
        }
        figures.burst += heard.count() - before;
        repeat_open(&server.url, &heard, &mut figures).await;
        figures.rounds += 1;
    }
    drop(server);
    let server = repeat_leased(&place, &heard, &mut figures).await;
    judge("database killed, PostgreSQL", &place, &server, &heard, &figures).await;
}
