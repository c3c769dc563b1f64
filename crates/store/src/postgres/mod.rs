//! The PostgreSQL backend: many stateless replicas over one database.
//!
//! Each scope has its own pool, whose connections work as that scope's role (`SET ROLE` once per connection); only the
//! tenant is set per transaction. Feed order is `feed.rs`, the choice of the writable host `hosts.rs`, what the login may
//! do `roles.rs`. Invariant: no statement of the service ever runs with the power of the login itself.

mod audit;
pub(crate) mod error;
mod feed;
mod hosts;
pub mod roles;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use domain::entitlement::Source;
use domain::provisioning::{ProvisioningStatus, Step, Switched};
use domain::text::fold;
use domain::{
    ActionPattern, ApiKey, ApiKeyId, AuditBatch, AuditEvent, CatalogRequest, CatalogRequestId, ChangeSeq, Entitlement,
    EntitlementId, EntitlementState, EventId, HostRoute, IdentityWork, KeyHash, Nesting, NewChange, Product,
    ProductKey, Provisioning, RequestStatus, Secret, Status, Tenant, TenantId, Timestamp,
};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor, Postgres, Transaction};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::{Conflict, Result, StoreError};
use crate::migrate;
use crate::port::{
    ApiKeys, AuditFilter, Catalog, CatalogReads, ChangePage, Claim, Claimed, EntitlementFilter, EntitlementRow,
    Entitlements, Idempotency, Installation, Page, ProvisioningReads, ProvisioningWork, Publisher, ReadTx, Removal,
    RequestFilter, Saved, SchemaState, Scope, Store, TenantFilter, TenantRoute, Tenants, Tx, Unaudited,
};
use crate::sql::api_keys::{api_key_columns, stamp_api_keys};
use crate::sql::attempt;
use crate::sql::audit::{EventRow, claims_of, stamp_audit};
use crate::sql::catalog::{entitlement_columns, product_columns, request_columns, stamp_catalog, stamp_catalog_reads};
use crate::sql::idempotency::stamp_idempotency;
use crate::sql::provisioning::{DUE, stamp_provisioning, work_columns};
use crate::sql::read_tx::stamp_port;
use crate::sql::tenants::{stamp_tenant_reads, stamp_tenants, tenant_columns};
use crate::sql::types::{
    Cells, Ts, audit_event_of, contains_pattern, host_family, json, key_hash, tenants_of, to_json, word,
};

pub use hosts::Hosts;

type Db = Postgres;
type Connection = sqlx::PgConnection;
type RowOf = sqlx::postgres::PgRow;
type Arguments = sqlx::postgres::PgArguments;
type Query<'q, D, A> = sqlx::query::Query<'q, D, A>;

/// The connections that follow the feed: one listens, and a look at the feed and a message to the other replicas need not
/// wait for each other.
const FEED_CONNECTIONS: u32 = 3;
/// The SQLSTATE of connections that the server ended: admin_shutdown.
const ADMIN_SHUTDOWN: &str = "57P01";

/// How the store uses its database.
#[derive(Debug, Clone)]
pub struct PgSettings {
    /// `postgres://user:password@host1:5432,host2/database?options`
    pub url: Secret,
    /// At most this many connections for each scope. A few more follow the change feed.
    pub max_connections: u32,
    /// After this long a statement is given up.
    pub statement_timeout: Duration,
    /// After this long a wait for a lock is given up.
    pub lock_timeout: Duration,
}

impl PgSettings {
    /// Settings with the defaults of the configuration.
    #[must_use]
    pub fn new(url: impl Into<Secret>) -> Self {
        Self {
            url: url.into(),
            max_connections: 16,
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(5),
        }
    }
}

/// The PostgreSQL store.
#[derive(Debug)]
pub struct PgStore {
    shared: Arc<Shared>,
    feed: feed::Reader,
}

/// What transactions and background tasks share.
#[derive(Debug)]
struct Shared {
    settings: PgSettings,
    hosts: Hosts,
    pools: ArcSwap<Pools>,
    wake: watch::Sender<u64>,
    /// A commit of this process is to be told to the others.
    tell: Notify,
    /// The writable host may have moved.
    suspect: Notify,
    stop: CancellationToken,
}

/// The pools on one host: one for each scope, and one for the feed, which must be followed while requests hold all of
/// theirs. What is in memory would pass its bound of age otherwise, and every read would want a connection as well.
#[derive(Debug)]
struct Pools {
    host: usize,
    /// Counts the switches to another host.
    generation: u64,
    platform: PgPool,
    tenant: PgPool,
    feed: PgPool,
}

impl PgStore {
    /// Connects to the writable host and starts the background work: telling and hearing of commits, and following the
    /// writable host where several are named.
    ///
    /// # Errors
    /// When no host can be written to, or the login may not work as the two roles.
    pub async fn connect(settings: PgSettings) -> Result<Self> {
        let hosts = Hosts::parse(settings.url.expose())?;
        let host = hosts.writable().await?;
        roles::check_membership(&hosts.options(host)).await?;
        let pools = Pools::new(&settings, &hosts, host, 0);
        for pool in [&pools.platform, &pools.tenant, &pools.feed] {
            pool.acquire().await?;
        }
        let (wake, _) = watch::channel(0);
        let shared = Arc::new(Shared {
            settings,
            hosts,
            pools: ArcSwap::from_pointee(pools),
            wake,
            tell: Notify::new(),
            suspect: Notify::new(),
            stop: CancellationToken::new(),
        });
        tokio::spawn(feed::tell_commits(Arc::clone(&shared)));
        tokio::spawn(feed::hear_commits(Arc::clone(&shared)));
        if shared.hosts.len() > 1 {
            tokio::spawn(hosts::follow_writable(Arc::clone(&shared)));
        }
        Ok(Self { shared, feed: feed::Reader::default() })
    }

    async fn transaction(&self, scope: Scope, begin: &'static str) -> Result<PgTx> {
        // Connections that a restart of the database broke fail at their first use. Nothing has run on them yet, so the
        // next one is tried, at most once for each that the pool can hold.
        for _ in 0..self.shared.settings.max_connections {
            match self.begin_once(scope, begin).await {
                Err(sqlx::Error::Io(_)) => {}
                Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code == ADMIN_SHUTDOWN) => {}
                outcome => return self.begun(scope, outcome),
            }
        }
        self.begun(scope, self.begin_once(scope, begin).await)
    }

    async fn begin_once(&self, scope: Scope, begin: &'static str) -> Result<Transaction<'static, Db>, sqlx::Error> {
        let pools = self.shared.pools.load_full();
        match scope {
            Scope::Platform => pools.platform.begin_with(begin).await,
            // Only a parsed id is formatted in: a statement text cannot carry parameters here.
            Scope::Tenant(TenantId(id)) => {
                let sql = format!("{begin}; SET LOCAL app.tenant = '{id}'");
                pools.tenant.begin_with(AssertSqlSafe(sql)).await
            }
        }
    }

    fn begun(&self, scope: Scope, outcome: Result<Transaction<'static, Db>, sqlx::Error>) -> Result<PgTx> {
        let inner = outcome.map_err(|error| self.shared.note(error.into()))?;
        Ok(PgTx { inner: Some(inner), scope, pending: Vec::new(), shared: Arc::clone(&self.shared) })
    }

    fn platform(&self) -> PgPool {
        self.shared.pools.load().platform.clone()
    }
}

impl Shared {
    /// Looks at an error on its way out: an unavailable database may have another writable host by now.
    fn note(&self, error: StoreError) -> StoreError {
        if matches!(error, StoreError::Unavailable(_)) {
            self.suspect.notify_one();
        }
        error
    }
}

impl Pools {
    fn new(settings: &PgSettings, hosts: &Hosts, host: usize, generation: u64) -> Self {
        let millis = |limit: Duration| limit.as_millis().to_string();
        let options: PgConnectOptions = hosts.options(host).options([
            ("statement_timeout", millis(settings.statement_timeout)),
            ("lock_timeout", millis(settings.lock_timeout)),
            // Bounds how long a client that hangs between two statements can hold back the feed.
            ("idle_in_transaction_session_timeout", millis(settings.statement_timeout)),
        ]);
        let pool = |role: &'static str, connections: u32| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(5))
                .idle_timeout(Duration::from_secs(600))
                .max_lifetime(Duration::from_secs(1_800))
                .test_before_acquire(false)
                .after_connect(move |conn, _| {
                    Box::pin(async move {
                        conn.execute(AssertSqlSafe(format!("SET ROLE {role}"))).await?;
                        Ok(())
                    })
                })
                .connect_lazy_with(options.clone())
        };
        Self {
            host,
            generation,
            platform: pool(roles::PLATFORM, settings.max_connections),
            tenant: pool(roles::TENANT, settings.max_connections),
            feed: pool(roles::PLATFORM, FEED_CONNECTIONS),
        }
    }

    async fn close(&self) {
        tokio::join!(self.platform.close(), self.tenant.close(), self.feed.close());
    }
}

#[async_trait]
impl Store for PgStore {
    async fn read(&self, scope: Scope) -> Result<Box<dyn ReadTx>> {
        Ok(Box::new(self.transaction(scope, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?))
    }

    async fn begin(&self, scope: Scope) -> Result<Box<dyn Tx>> {
        Ok(Box::new(self.transaction(scope, "BEGIN").await?))
    }

    async fn changes(&self, after: ChangeSeq, limit: usize) -> Result<ChangePage> {
        let pools = self.shared.pools.load_full();
        self.feed.changes(&pools, after, limit).await.map_err(|error| self.shared.note(error))
    }

    async fn head(&self) -> Result<ChangeSeq> {
        feed::head(&self.shared.pools.load().feed.clone()).await.map_err(|error| self.shared.note(error))
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.shared.wake.subscribe()
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(audit::PgPublisher::new(Arc::clone(&self.shared)))
    }

    async fn due_identity_work(&self, now: Timestamp, limit: usize) -> Result<Vec<TenantId>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = sqlx::query(DUE).bind(Ts(now)).bind(limit).fetch_all(&self.platform()).await;
        let rows = found.map_err(|error| self.shared.note(error.into()))?;
        rows.iter().map(|row| Ok(TenantId(row.cell("tenant_id")?))).collect()
    }

    async fn installation(&self) -> Result<Installation> {
        const PUT: &str = "INSERT INTO installation (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        let mut tx = self.platform().begin().await?;
        for (name, value) in crate::sql::installation::fresh()? {
            sqlx::query(PUT).bind(name).bind(value).execute(&mut *tx).await?;
        }
        let rows = sqlx::query("SELECT name, value FROM installation").fetch_all(&mut *tx).await?;
        tx.commit().await?;
        crate::sql::installation::read(&rows)
    }

    async fn check(&self) -> Result<SchemaState> {
        let mut conn = self.platform().acquire().await.map_err(|error| self.shared.note(error.into()))?;
        migrate::postgres_state(&mut conn).await
    }

    async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.pools.load_full().close().await;
    }
}

/// A transaction, or a consistent view when it was begun to read.
struct PgTx {
    inner: Option<Transaction<'static, Postgres>>,
    scope: Scope,
    pending: Vec<NewChange>,
    shared: Arc<Shared>,
}

impl PgTx {
    fn live(&mut self) -> Result<&mut Connection> {
        self.inner.as_deref_mut().ok_or(StoreError::Finished)
    }

    fn settle<T>(&mut self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| {
            self.inner = None;
            self.shared.note(error)
        })
    }

    async fn finish(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        if !pending.is_empty() {
            attempt!(self, conn => { feed::append(conn, &pending).await })?;
        }
        let inner = self.inner.take().ok_or(StoreError::Finished)?;
        inner.commit().await.map_err(|error| self.shared.note(error.into()))?;
        if !pending.is_empty() {
            self.shared.wake.send_modify(|told| *told += 1);
            self.shared.tell.notify_one();
        }
        Ok(())
    }
}

stamp_tenant_reads!(PgTx);
stamp_tenants!(
    PgTx,
    for_update = " FOR UPDATE OF t",
    skip_locked = " FOR UPDATE OF t SKIP LOCKED",
    lock_family = Some("SELECT pg_advisory_xact_lock(1953653105, hashtext($1))"),
    // A tenant with very many keys takes many times what other statements may.
    patience = Some("SET LOCAL statement_timeout = '10min'")
);
stamp_catalog_reads!(PgTx);
stamp_catalog!(PgTx, for_update = " FOR UPDATE", key_share = " FOR KEY SHARE");
stamp_api_keys!(PgTx, for_update = " FOR UPDATE OF k", for_note = " FOR NO KEY UPDATE OF k SKIP LOCKED");
stamp_audit!(PgTx);
stamp_idempotency!(PgTx);
stamp_provisioning!(PgTx, for_update = " FOR UPDATE");
stamp_port!(PgTx);
