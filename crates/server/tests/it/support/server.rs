//! A running service for one test: the same `serve` as in production, with a clock that the test moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::{Clock, Rng, Secret, Timestamp};
use server::clock::{SystemClock, SystemRng};
use server::config::Config;
use server::identity::provider::IdentityProvider;
use server::{Deps, telemetry};
use store::postgres::{PgSettings, PgStore};
use store::sqlite::SqliteStore;
use store::testing::postgres::{Cluster, is_short_run};
use store::{Store, migrate};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::{Client, DEV_TOKEN};

/// Which store a service runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    Sqlite,
    Postgres,
}

/// The system's clock, moved by the test. Only forward movement makes sense to a service.
#[derive(Debug, Default)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    /// Lets time pass for the service, and for nobody else.
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn advance_days(&self, days: u64) {
        self.advance(Duration::from_secs(days * 24 * 3_600));
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let now = SystemClock::default().now();
        domain::time::from_micros(now.as_microsecond() + self.0.load(Ordering::SeqCst))
    }
}

/// How a service differs from the usual one of the tests.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Settings by environment name, over those of the tests.
    pub(crate) settings: BTreeMap<&'static str, String>,
    /// A store to run on instead of a fresh one.
    pub(crate) store: Option<Arc<dyn Store>>,
    /// Whether the background jobs' effects are wanted is up to the test: they always run.
    pub(crate) seed_acme: bool,
    /// Whether the service has no dev token, as outside dev.
    pub(crate) without_dev_token: bool,
    /// An identity provider instead of a fresh mock, or of the one that is configured.
    pub(crate) identity: Option<Arc<dyn IdentityProvider>>,
}

impl Options {
    pub(crate) fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.insert(name, value.into());
        self
    }
}

/// A running service. Stopped when dropped.
#[derive(Debug)]
pub(crate) struct Service {
    /// A platform admin's client.
    pub(crate) admin: Client,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) url: String,
    shutdown: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Service {
    pub(crate) async fn start(kind: StoreKind) -> Self {
        Self::start_with(kind, Options::default()).await
    }

    pub(crate) async fn start_with(kind: StoreKind, options: Options) -> Self {
        let store = match options.store {
            Some(store) => store,
            None => open_store(kind).await,
        };
        let mut settings: BTreeMap<&str, String> =
            BTreeMap::from([("APP_ENV", "dev".to_owned()), ("KEYCLOAK_ISSUER", String::new())]);
        settings.extend(options.settings);
        let pairs: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let config = Config::from_pairs(&pairs).unwrap();
        let clock = Arc::new(TestClock::default());
        let telemetry = telemetry::build(&config.telemetry, std::io::sink).unwrap();
        let rng: Arc<dyn Rng> = Arc::new(SystemRng::default());
        let identity = match options.identity {
            Some(identity) => identity,
            None => server::identity_provider(&config, &rng).unwrap(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let deps = Deps {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            verifier: server::token_verifier(&config, Arc::new(SystemClock::default())).unwrap(),
            rng,
            identity,
            meter: telemetry.meter().clone(),
            metrics: telemetry.metrics().clone(),
            metrics_reader: telemetry.metrics_reader(),
            dev_token: (!options.without_dev_token).then(|| Secret::from(DEV_TOKEN)),
        };
        if options.seed_acme {
            server::seed(&deps.store, &deps.clock, &deps.rng).await.unwrap();
        }
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move {
            let _telemetry = telemetry;
            server::serve(&config, deps, listener, stop).await.unwrap();
        });
        let admin = Client::new(&url).bearer(DEV_TOKEN);
        Self { admin, clock, store, url, shutdown, task: Some(task) }
    }

    /// Stops the service, and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
    }

    /// Tells the service to stop, without waiting.
    pub(crate) fn begin_stop(&self) {
        self.shutdown.cancel();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A fresh store.
pub(crate) async fn open_store(kind: StoreKind) -> Arc<dyn Store> {
    match kind {
        StoreKind::Sqlite => Arc::new(SqliteStore::in_memory().await.unwrap()),
        StoreKind::Postgres => {
            let url = fresh_database().await;
            Arc::new(PgStore::connect(PgSettings { max_connections: 8, ..PgSettings::new(url) }).await.unwrap())
        }
    }
}

/// A migrated database of its own, in the cluster of this test run.
pub(crate) async fn fresh_database() -> String {
    let url = tokio::task::spawn_blocking(|| Cluster::shared().create_database()).await.unwrap();
    migrate::up(&migrate::Target::Postgres(Secret::from(url.as_str()))).await.unwrap();
    url
}

/// Whether tests on this store are left out of this run (`make test-short`). Says so.
pub(crate) fn left_out(kind: StoreKind) -> bool {
    let left_out = kind == StoreKind::Postgres && is_short_run();
    if left_out {
        eprintln!("left out: needs PostgreSQL, and TEST_SHORT is set");
    }
    left_out
}

/// Waits until a condition holds, and fails after ten seconds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    // Generous: a loaded machine is no reason for a failing test.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "{what} did not happen within thirty seconds");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Writes each test once and runs it on both stores: `both_stores! { name => async |service: Service| { … } }`.
macro_rules! both_stores {
    ($($(#[$attribute:meta])* async fn $name:ident($service:ident: Service) $body:block)+) => {$(
        mod $name {
            use super::*;
            async fn case($service: $crate::support::Service) $body
            async fn run(kind: $crate::support::StoreKind) {
                if !$crate::support::server::left_out(kind) {
                    case($crate::support::Service::start(kind).await).await;
                }
            }
            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                run($crate::support::StoreKind::Sqlite).await;
            }
            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                run($crate::support::StoreKind::Postgres).await;
            }
        }
    )+};
}
pub(crate) use both_stores;
