//! The embedded backend: SQLite, as a durable file or as "memory".
//!
//! One connection writes (`BEGIN IMMEDIATE`), several read; WAL keeps them out of each other's way. A file is synchronised
//! fully at every commit. Memory is a WAL file in a private temporary folder without synchronisation, so that both take
//! one path through the code. Invariant: what was committed to a file survives the process and the machine.

mod audit;
pub(crate) mod error;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::entitlement::Source;
use domain::provisioning::{ProvisioningStatus, Step, Switched};
use domain::text::fold;
use domain::{
    ActionPattern, ApiKey, ApiKeyId, AuditBatch, AuditEvent, CatalogRequest, CatalogRequestId, Change, ChangeSeq,
    Entitlement, EntitlementId, EntitlementState, EventId, HostRoute, IdentityWork, KeyHash, Nesting, NewChange,
    Product, ProductKey, Provisioning, RequestStatus, Status, Tenant, TenantId, Timestamp,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Sqlite, Transaction};
use tokio::sync::watch;
use uuid::Uuid;

use crate::error::{Conflict, Result, StoreError};
use crate::migrate;
use crate::port::{
    ApiKeys, AuditFilter, Catalog, CatalogReads, ChangePage, Claim, Claimed, EntitlementFilter, EntitlementRow,
    Entitlements, Idempotency, Installation, Page, ProvisioningReads, ProvisioningWork, Publisher, ReadTx, Removal,
    RequestFilter, Saved, SchemaState, Scope, Store, TenantFilter, TenantRoute, Tenants, Tx, Unaudited,
};
use crate::sql::api_keys::{api_key_columns, stamp_api_keys};
use crate::sql::audit::{EventRow, claims_of, stamp_audit};
use crate::sql::catalog::{entitlement_columns, product_columns, request_columns, stamp_catalog, stamp_catalog_reads};
use crate::sql::idempotency::stamp_idempotency;
use crate::sql::provisioning::{DUE, stamp_provisioning, work_columns};
use crate::sql::read_tx::stamp_port;
use crate::sql::tenants::{stamp_tenant_reads, stamp_tenants, tenant_columns};
use crate::sql::types::{
    Cells, Ts, audit_event_of, contains_pattern, host_family, json, key_hash, tenants_of, to_json, word,
};
use crate::sql::{attempt, changes::change_of};

type Db = Sqlite;
type Connection = sqlx::SqliteConnection;
type RowOf = sqlx::sqlite::SqliteRow;
type Arguments = sqlx::sqlite::SqliteArguments;
type Query<'q, D, A> = sqlx::query::Query<'q, D, A>;

/// How many connections read at once.
const READERS: u32 = 4;
/// How long a writer waits for another process that writes to the same file.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The SQLite store.
#[derive(Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    wake: Arc<watch::Sender<u64>>,
    /// The private folder of a store in memory; removed with it.
    _folder: Option<tempfile::TempDir>,
}

impl SqliteStore {
    /// Opens a file, makes it where it is missing, and migrates it.
    ///
    /// # Errors
    /// When the file cannot be opened, or its schema is newer than this program.
    pub async fn open(path: &Path) -> Result<Self> {
        Self::start(path.to_owned(), SqliteSynchronous::Full, None).await
    }

    /// A store that is gone with this value.
    ///
    /// # Errors
    /// When the temporary folder cannot be made.
    pub async fn in_memory() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tenant-registry-").tempdir().map_err(|error| {
            let folder = std::env::temp_dir();
            StoreError::Unavailable(format!(
                "no temporary folder in {}, which a store in memory needs (TMPDIR names another one): {error}",
                folder.display()
            ))
        })?;
        let path = folder.path().join("registry.sqlite");
        Self::start(path, SqliteSynchronous::Off, Some(folder)).await
    }

    async fn start(path: PathBuf, synchronous: SqliteSynchronous, folder: Option<tempfile::TempDir>) -> Result<Self> {
        let options = connect_options(&path).synchronous(synchronous);
        migrate::sqlite_up(&path).await.map_err(|error| {
            let why = if let migrate::MigrationError::Store(StoreError::Unavailable(why)) = error {
                why
            } else {
                error.to_string()
            };
            StoreError::Unavailable(format!("{}: {why}", path.display()))
        })?;
        let pool = |size: u32| {
            SqlitePoolOptions::new()
                .min_connections(1)
                .max_connections(size)
                .acquire_timeout(Duration::from_secs(10))
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                // A full disk makes SQLite end the transaction by itself, and the driver goes on counting one: such a
                // connection could never begin another.
                .before_acquire(|conn, _| Box::pin(async move { Ok(!conn.is_in_transaction()) }))
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        let readers = pool(READERS).connect_with(options.pragma("query_only", "ON")).await?;
        let (wake, _) = watch::channel(0);
        Ok(Self { writer, readers, wake: Arc::new(wake), _folder: folder })
    }

    /// The writing pool, for tests that look at the tables.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn writer(&self) -> &SqlitePool {
        &self.writer
    }
}

/// The options of every connection to a file; synchronisation is added by the caller.
pub(crate) fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
}

#[async_trait]
impl Store for SqliteStore {
    async fn read(&self, scope: Scope) -> Result<Box<dyn ReadTx>> {
        let inner = self.readers.begin().await?;
        Ok(Box::new(SqliteTx { inner: Some(inner), scope, pending: Vec::new(), wake: Arc::clone(&self.wake) }))
    }

    async fn begin(&self, scope: Scope) -> Result<Box<dyn Tx>> {
        let inner = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Box::new(SqliteTx { inner: Some(inner), scope, pending: Vec::new(), wake: Arc::clone(&self.wake) }))
    }

    async fn changes(&self, after: ChangeSeq, limit: usize) -> Result<ChangePage> {
        const SQL: &str =
            "SELECT seq, kind, op, tenant_id, entity_id, value FROM changes WHERE seq > $1 ORDER BY seq LIMIT $2";
        let rows = sqlx::query(SQL)
            .bind(after.0)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await?;
        let changes = rows.iter().map(change_of).collect::<Result<Vec<Change>>>()?;
        Ok(ChangePage { complete: changes.len() < limit, changes, server: 0 })
    }

    async fn head(&self) -> Result<ChangeSeq> {
        let row = sqlx::query("SELECT COALESCE(MAX(seq), 0) AS head FROM changes").fetch_one(&self.readers).await?;
        Ok(ChangeSeq(row.cell("head")?))
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(audit::SqlitePublisher(self.writer.clone()))
    }

    async fn due_identity_work(&self, now: Timestamp, limit: usize) -> Result<Vec<TenantId>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = sqlx::query(DUE).bind(Ts(now)).bind(limit).fetch_all(&self.readers).await?;
        rows.iter().map(|row| Ok(TenantId(row.cell("tenant_id")?))).collect()
    }

    async fn installation(&self) -> Result<Installation> {
        const PUT: &str = "INSERT INTO installation (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for (name, value) in crate::sql::installation::fresh()? {
            sqlx::query(PUT).bind(name).bind(value).execute(&mut *tx).await?;
        }
        let rows = sqlx::query("SELECT name, value FROM installation").fetch_all(&mut *tx).await?;
        tx.commit().await?;
        crate::sql::installation::read(&rows)
    }

    async fn check(&self) -> Result<SchemaState> {
        let mut conn = self.readers.acquire().await?;
        migrate::sqlite_state(&mut conn).await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A transaction, or a consistent view when it came from a reader.
pub(crate) struct SqliteTx {
    inner: Option<Transaction<'static, Sqlite>>,
    scope: Scope,
    pending: Vec<NewChange>,
    wake: Arc<watch::Sender<u64>>,
}

impl SqliteTx {
    fn live(&mut self) -> Result<&mut Connection> {
        self.inner.as_deref_mut().ok_or(StoreError::Finished)
    }

    fn settle<T>(&mut self, outcome: Result<T>) -> Result<T> {
        if outcome.is_err() {
            self.inner = None;
        }
        outcome
    }

    async fn finish(&mut self) -> Result<()> {
        const SQL: &str = "INSERT INTO changes (kind, op, tenant_id, entity_id, value) VALUES ($1, $2, $3, $4, $5)";
        let pending = std::mem::take(&mut self.pending);
        attempt!(self, conn => {
            for change in &pending {
                sqlx::query(SQL)
                    .bind(change.kind.as_str())
                    .bind(change.op.as_str())
                    .bind(change.tenant_id.map(|id| id.0))
                    .bind(&change.id)
                    .bind(&change.value)
                    .execute(&mut *conn)
                    .await?;
            }
            Ok(())
        })?;
        self.inner.take().ok_or(StoreError::Finished)?.commit().await?;
        if !pending.is_empty() {
            self.wake.send_modify(|told| *told += 1);
        }
        Ok(())
    }
}

stamp_tenant_reads!(SqliteTx);
stamp_tenants!(SqliteTx, for_update = "", skip_locked = "", lock_family = None, patience = None);
stamp_catalog_reads!(SqliteTx);
stamp_catalog!(SqliteTx, for_update = "", key_share = "");
stamp_api_keys!(SqliteTx, for_update = "", for_note = "");
stamp_audit!(SqliteTx);
stamp_idempotency!(SqliteTx);
stamp_provisioning!(SqliteTx, for_update = "");
stamp_port!(SqliteTx);
