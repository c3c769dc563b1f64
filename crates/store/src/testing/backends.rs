//! A fresh database per test, for each backend: what the contract suite and the tests of single backends begin with.
//!
//! PostgreSQL is one server per test process with a template database that is migrated once, as a plain owner; each test
//! gets a copy. Invariant: the service's login is never a superuser and inherits nothing, so a statement that forgets its
//! role fails; the databases sort text by a language, so a query that leans on the collation fails too.

#![expect(clippy::expect_used, clippy::panic, reason = "test support: a failure is a failed test")]

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::sync::OnceCell;

use super::postgres::{Cluster, is_short_run};
use crate::migrate::{Target, up};
use crate::port::Store;
use crate::postgres::{PgSettings, PgStore, roles};
use crate::sqlite::SqliteStore;

/// A database of one test, with a store on it.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// A fresh, migrated, empty database. None when this run leaves the backend out.
    async fn open() -> Option<Self>
    where
        Self: Sized;
    /// The store.
    fn store(&self) -> Arc<dyn Store>;
    /// Another handle, as another process has one; the same where no other process can come.
    async fn reopen(&self) -> Arc<dyn Store>;
    /// Runs SQL with all the power that the service has, beside the port.
    async fn execute(&self, sql: &str) -> Result<u64, sqlx::Error>;
    /// Returns once some connection waits for a lock; at once where waiting is not to be seen.
    async fn until_somebody_waits(&self);
}

/// Says on the terminal, past the test harness' capture, that a test was left out.
pub fn note_skipped(name: &str) {
    // A closed terminal is no reason to fail.
    _ = writeln!(std::io::stderr(), "skipped because TEST_SHORT=1 (needs PostgreSQL): {name}");
}

/// SQLite in memory.
#[derive(Debug)]
pub struct SqliteMemory(Arc<SqliteStore>);

#[async_trait]
impl Backend for SqliteMemory {
    async fn open() -> Option<Self> {
        Some(Self(Arc::new(SqliteStore::in_memory().await.expect("a store in memory"))))
    }
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0) as Arc<dyn Store>
    }
    async fn reopen(&self) -> Arc<dyn Store> {
        self.store()
    }
    async fn execute(&self, sql: &str) -> Result<u64, sqlx::Error> {
        Ok(sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.0.writer()).await?.rows_affected())
    }
    async fn until_somebody_waits(&self) {}
}

/// SQLite in a file.
#[derive(Debug)]
pub struct SqliteFile {
    store: Arc<SqliteStore>,
    folder: tempfile::TempDir,
}

impl SqliteFile {
    /// The file.
    #[must_use]
    pub fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("registry.sqlite")
    }
}

#[async_trait]
impl Backend for SqliteFile {
    async fn open() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = SqliteStore::open(&folder.path().join("registry.sqlite")).await.expect("a store in a file");
        Some(Self { store: Arc::new(store), folder })
    }
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }
    async fn reopen(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.path()).await.expect("the file opens again"))
    }
    async fn execute(&self, sql: &str) -> Result<u64, sqlx::Error> {
        Ok(sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.store.writer()).await?.rows_affected())
    }
    async fn until_somebody_waits(&self) {}
}

/// The login that owns the schema and migrates it.
const OWNER: &str = "registry_owner";
/// The service's login: a member of the two roles that inherits nothing of them.
const SERVICE: &str = "registry_service";

/// A PostgreSQL database.
#[derive(Debug)]
pub struct Postgres {
    store: Arc<PgStore>,
    name: String,
}

impl Postgres {
    /// A fresh database without a store, and the name of it: for tests that open their own.
    pub async fn database() -> Option<String> {
        if is_short_run() {
            return None;
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let template = template().await;
        let name = format!("{template}_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut conn = superuser("postgres").await;
        run(&mut conn, &format!("CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER}")).await;
        Some(name)
    }

    /// The DSN of a login of the shared server for a database.
    #[must_use]
    pub fn url_of(login: &str, database: &str) -> String {
        let mut url = url::Url::parse(&Cluster::shared().superuser_url(database)).expect("the server's DSN is a URL");
        url.set_username(login).expect("the DSN has a host");
        url.set_password(Some("secret")).expect("the DSN has a host");
        url.into()
    }

    /// The superuser's DSN.
    #[must_use]
    pub fn superuser_url(&self) -> String {
        Cluster::shared().superuser_url(&self.name)
    }

    /// The DSN of the login that owns the schema.
    #[must_use]
    pub fn owner_url(&self) -> String {
        Self::url_of(OWNER, &self.name)
    }

    /// The service's own DSN.
    #[must_use]
    pub fn service_url(&self) -> String {
        Self::url_of(SERVICE, &self.name)
    }

    /// A connection of the superuser, to look at and to break things with.
    pub async fn superuser(&self) -> PgConnection {
        superuser(&self.name).await
    }

    /// A connection that works as one of the service's roles, as the store's do, but in the test's hands.
    pub async fn service(&self, role: &str) -> PgConnection {
        let mut conn = PgConnection::connect(&self.service_url()).await.expect("the service's login connects");
        run(&mut conn, &format!("SET ROLE {role}")).await;
        conn
    }

    /// The store with what the port does not have.
    #[must_use]
    pub fn pg_store(&self) -> &Arc<PgStore> {
        &self.store
    }

    /// Another replica's store, with settings of its own.
    pub async fn replica(&self, change: impl FnOnce(&mut PgSettings)) -> Arc<PgStore> {
        let mut settings = PgSettings::new(self.service_url());
        change(&mut settings);
        Arc::new(PgStore::connect(settings).await.expect("another replica connects"))
    }
}

#[async_trait]
impl Backend for Postgres {
    async fn open() -> Option<Self> {
        let name = Self::database().await?;
        let settings = PgSettings::new(Self::url_of(SERVICE, &name));
        let store = PgStore::connect(settings).await.expect("the store connects");
        Some(Self { store: Arc::new(store), name })
    }
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }
    async fn reopen(&self) -> Arc<dyn Store> {
        self.replica(|_| {}).await
    }
    async fn execute(&self, sql: &str) -> Result<u64, sqlx::Error> {
        let mut conn = self.service(roles::PLATFORM).await;
        Ok(sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await?.rows_affected())
    }
    async fn until_somebody_waits(&self) {
        const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'";
        let mut conn = superuser("postgres").await;
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let row = sqlx::query(WAITING).bind(&self.name).fetch_one(&mut conn).await.expect("the statistics");
            if row.get::<i64, _>(0) > 0 {
                return;
            }
            assert!(Instant::now() < deadline, "nobody waits for a lock");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn superuser(database: &str) -> PgConnection {
    PgConnection::connect(&Cluster::shared().superuser_url(database)).await.expect("the superuser connects")
}

async fn run(conn: &mut PgConnection, sql: &str) {
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await {
        panic!("{sql}: {error}");
    }
}

/// The database that the others are copies of: migrated once, by an owner that is no superuser.
async fn template() -> &'static str {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    TEMPLATE.get_or_init(make_template).await
}

async fn make_template() -> String {
    // The first call starts the server, which blocks.
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await.expect("the server starts");
    let mut conn = PgConnection::connect(&cluster.superuser_url("postgres")).await.expect("the superuser connects");
    for (login, power) in [(OWNER, "CREATEROLE"), (SERVICE, "NOINHERIT")] {
        let sql = format!("CREATE ROLE {login} LOGIN {power} PASSWORD 'secret'");
        match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await {
            Ok(_) => {}
            // A server that runs already has them from an earlier run, or from another process at this moment.
            Err(error)
                if error
                    .as_database_error()
                    .is_some_and(|e| matches!(e.code().as_deref(), Some("42710" | "23505"))) => {}
            Err(error) => panic!("cannot make the login {login}: {error}"),
        }
    }
    let name = format!("registry_{}", std::process::id());
    run(&mut conn, &format!("DROP DATABASE IF EXISTS {name}")).await;
    let plain = format!("CREATE DATABASE {name} OWNER {OWNER} TEMPLATE template0 ENCODING 'UTF8'");
    let icu = format!("{plain} LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'");
    if sqlx::raw_sql(AssertSqlSafe(icu)).execute(&mut conn).await.is_err() {
        // Before version 15, or built without ICU.
        run(&mut conn, &plain).await;
    }
    up(&Target::Postgres(Postgres::url_of(OWNER, &name).into())).await.expect("the template is migrated");
    run(&mut conn, &format!("GRANT {}, {} TO {SERVICE}", roles::PLATFORM, roles::TENANT)).await;
    name
}
