//! The port: what every backend offers, and what a backend must be to be right.
//!
//! `app` and `jobs` of the server see nothing of a database but these traits. A backend is right when it passes the
//! contract suite (`testing::suite`). Invariants, each with a case there: a change commits with its audit rows and its
//! feed rows or not at all; after an error a transaction is finished; dropping one rolls it back.

mod catalog;
mod provisioning;

use async_trait::async_trait;
use domain::{
    ActionPattern, ApiKey, ApiKeyId, AuditBatch, AuditEvent, Change, ChangeSeq, Crud, EventId, HostRoute, KeyHash,
    Nesting, Plan, Status, Tenant, TenantId, Timestamp,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::error::Result;

pub use catalog::{Catalog, CatalogReads, EntitlementFilter, EntitlementRow, Entitlements, Removal, RequestFilter};
pub use provisioning::{ProvisioningReads, ProvisioningWork, Saved};

/// What a transaction may see. On PostgreSQL row-level security stands behind it, on SQLite the queries' own predicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The rows of one tenant, to read; to write, audit events of its own and nothing else.
    Tenant(TenantId),
    /// The registry's rows of all tenants.
    Platform,
}

impl Scope {
    /// The one tenant, if it is one: bound to the predicate that every query carries.
    #[must_use]
    pub fn tenant(self) -> Option<TenantId> {
        match self {
            Self::Tenant(id) => Some(id),
            Self::Platform => None,
        }
    }
}

/// A durable store.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    /// A consistent view to read from. Takes no write lock, also on SQLite.
    async fn read(&self, scope: Scope) -> Result<Box<dyn ReadTx>>;
    /// A transaction that writes. On SQLite it waits for the writer before it.
    async fn begin(&self, scope: Scope) -> Result<Box<dyn Tx>>;
    /// The changes after a place, in order, at most `limit`, skipping none: see [`ChangePage`].
    async fn changes(&self, after: ChangeSeq, limit: usize) -> Result<ChangePage>;
    /// A place such that everything up to it is seen by whoever begins to read afterwards: where a reader that keeps
    /// nothing yet may start to follow.
    async fn head(&self) -> Result<ChangeSeq>;
    /// Told when there may be more changes. A hint only: whoever follows the feed also asks now and then.
    fn wake(&self) -> watch::Receiver<u64>;
    /// Somebody who appends the events of others, batch by batch.
    fn publisher(&self) -> Box<dyn Publisher>;
    /// Whose identity work is due and nobody at, longest due first. Asked every second, so in one statement.
    async fn due_identity_work(&self, now: Timestamp, limit: usize) -> Result<Vec<TenantId>>;
    /// What is the same for every process on this database.
    async fn installation(&self) -> Result<Installation>;
    /// Whether the store answers, and the schema is the one that this program was built for.
    async fn check(&self) -> Result<SchemaState>;
    /// Ends background work and closes every connection.
    async fn close(&self);
}

/// Appends events that others publish and that claim no external id, without a transaction of the caller's.
///
/// May keep for the next batch what the last one needed, a connection: whoever has nothing to write drops it.
#[async_trait]
pub trait Publisher: Send {
    /// Appends events, all or none, as [`Unaudited::Publishing`]: on PostgreSQL by one statement, which commits by itself.
    ///
    /// # Errors
    /// `Unavailable` and `Timeout` leave open whether the events are stored; after any other error none is. `Refused` also
    /// where one claims an external id, or is stored already.
    async fn publish(&mut self, events: &[AuditEvent]) -> Result<()>;
}

/// A part of the feed.
#[derive(Debug, Clone, Default)]
pub struct ChangePage {
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// Nothing committed when the question was asked is missing after these: false while a transaction that may yet
    /// fill a gap is open, and when `limit` cut the page short.
    pub complete: bool,
    /// Another number means another database server: after a failover that lost the newest changes, what was learned of
    /// the old one may never have happened.
    pub server: u64,
}

/// What is the same for every process on one database.
#[derive(Debug, Clone)]
pub struct Installation {
    /// Changes when a database is restored or made anew: a place in another epoch's feed means nothing here.
    pub epoch: Uuid,
    /// The key that list cursors are sealed with.
    pub cursor_key: [u8; 32],
}

/// How the schema stands against this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaState {
    /// The newest migration of the database; 0 without any.
    pub current: i64,
    /// The newest migration of this program.
    pub wanted: i64,
}

/// Everything that can be read.
#[async_trait]
pub trait ReadTx: CatalogReads + ProvisioningReads + Send {
    /// A tenant by id, with its hosts.
    async fn get_tenant(&mut self, id: TenantId) -> Result<Option<Tenant>>;
    /// A tenant by slug.
    async fn get_tenant_by_slug(&mut self, slug: &str) -> Result<Option<Tenant>>;
    /// Tenants, newest first.
    async fn list_tenants(&mut self, filter: &TenantFilter, page: Page<TenantId>) -> Result<Vec<Tenant>>;
    /// Tenants that have this value under this key of their metadata, letter by letter, at most `limit`, oldest first.
    async fn tenants_with_metadata(&mut self, key: &str, value: &str, limit: usize) -> Result<Vec<TenantId>>;
    /// The routes of one host in normal form, wildcards spelled out, in the order of their prefixes' bytes.
    async fn routes_of_host(&mut self, host: &str) -> Result<Vec<TenantRoute>>;
    /// All routes in the order of host and prefix, byte by byte.
    async fn list_routes(&mut self, after: Option<(String, String)>, limit: usize) -> Result<Vec<TenantRoute>>;
    /// An API key by id.
    async fn get_api_key(&mut self, id: ApiKeyId) -> Result<Option<ApiKey>>;
    /// An API key by its hash.
    async fn get_api_key_by_hash(&mut self, hash: &KeyHash) -> Result<Option<ApiKey>>;
    /// API keys, newest first, revoked ones too: a tenant's, or all, those of the platform among them.
    async fn list_api_keys(&mut self, tenant: Option<TenantId>, page: Page<ApiKeyId>) -> Result<Vec<ApiKey>>;
    /// Audit events, newest first.
    async fn list_audit_events(
        &mut self,
        filter: &AuditFilter,
        page: Page<(Timestamp, EventId)>,
    ) -> Result<Vec<AuditEvent>>;
    /// Whether there was a tenant of this id that exists no more.
    async fn is_former_tenant(&mut self, id: TenantId) -> Result<bool>;
}

/// A transaction. Dropping it rolls back.
#[async_trait]
pub trait Tx:
    ReadTx + Tenants + Entitlements + Catalog + AuditLog + Idempotency + ApiKeys + ProvisioningWork + Send
{
    /// Commits the change, its audit events and its feed rows, or none of them.
    async fn commit(self: Box<Self>, audit: AuditBatch) -> Result<()>;
    /// Commits what needs no audit event, for one of a closed list of reasons.
    async fn commit_unaudited(self: Box<Self>, why: Unaudited) -> Result<()>;
}

/// Why a transaction may commit without an audit event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unaudited {
    /// Reserving, releasing and purging idempotency records.
    Idempotency,
    /// A job's own notes, and what it tidies up.
    JobBookkeeping,
    /// The first start of an installation.
    Installation,
    /// Events that somebody publishes: they are the log, and not about it.
    Publishing,
    /// When API keys were last used.
    LastUse,
    /// How far identity work has come. What comes of it is audited; that memory must follow is told in the feed.
    Provisioning,
}

/// Writes of tenants and their hosts.
#[async_trait]
pub trait Tenants: Send {
    /// A tenant by id, held until the end of the transaction.
    async fn lock_tenant(&mut self, id: TenantId) -> Result<Option<Tenant>>;
    /// Adds a tenant with its hosts.
    ///
    /// # Errors
    /// `SlugTaken`, and `HostTaken` as [`Tenants::add_host`].
    async fn insert_tenant(&mut self, tenant: &Tenant, nesting: Nesting) -> Result<()>;
    /// Writes the fields of a locked tenant, but not its hosts. `tenant.version` is one higher for each change since.
    ///
    /// # Errors
    /// `Stale` when the stored version is not below it.
    async fn update_tenant(&mut self, tenant: &Tenant) -> Result<()>;
    /// Removes a tenant and its children, and leaves a tombstone for what is to be done afterwards.
    async fn delete_tenant(&mut self, tenant: &Tenant, at: Timestamp) -> Result<()>;
    /// Adds a route.
    ///
    /// # Errors
    /// `HostTaken` when another tenant has it, or overlaps it and `nesting` refuses that.
    async fn add_host(&mut self, tenant: TenantId, route: &HostRoute, nesting: Nesting) -> Result<()>;
    /// Removes a route; says whether the tenant had it.
    async fn remove_host(&mut self, tenant: TenantId, route: &HostRoute) -> Result<bool>;
    /// Running trials that ended by `now`, earliest first, held until the end of the transaction; those that another
    /// worker holds are passed over.
    async fn lock_ended_trials(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Tenant>>;
}

/// Writes of API keys.
#[async_trait]
pub trait ApiKeys: Send {
    /// A key by id, held until the end of the transaction.
    async fn lock_api_key(&mut self, id: ApiKeyId) -> Result<Option<ApiKey>>;
    /// Adds a key.
    async fn insert_api_key(&mut self, key: &ApiKey) -> Result<()>;
    /// Writes what may change of a locked key: its ends, and its successor, which is there before.
    ///
    /// # Errors
    /// `Stale` when there is no such key.
    async fn update_api_key(&mut self, key: &ApiKey) -> Result<()>;
    /// Notes when keys were used, each named once, and says how many were moved: never backwards. No change for the feed.
    async fn note_api_key_use(&mut self, used: &[(ApiKeyId, Timestamp)]) -> Result<u64>;
}

/// Writes of the audit log beside [`Tx::commit`].
#[async_trait]
pub trait AuditLog: Send {
    /// Appends events that others publish, all or none, and says which each of them is: an event whose `external_id` its
    /// tenant has had before is that earlier one, and not written again. Of two who publish one at once the later waits.
    async fn publish_audit_events(&mut self, events: &[AuditEvent]) -> Result<Vec<EventId>>;
    /// Takes the group from at most `batch` events of tenants that are gone, and forgets their external ids. Says how many
    /// there were; 0 means done.
    async fn detach_audit_events(&mut self, batch: usize, now: Timestamp) -> Result<u64>;
    /// Makes room for the events of this month and the next two, where the backend keeps them by month.
    async fn ensure_audit_partitions(&mut self, now: Timestamp) -> Result<()>;
}

/// Records of requests that may be repeated.
#[async_trait]
pub trait Idempotency: Send {
    /// Reserves a key for a request, or says what became of the earlier one.
    async fn reserve(&mut self, claim: &Claim, now: Timestamp) -> Result<Claimed>;
    /// Keeps the outcome. Belongs into the transaction of the change.
    ///
    /// # Errors
    /// `ReservationLost` when the lease ran out and somebody else took the key.
    async fn complete(&mut self, claim: &Claim, outcome: &str) -> Result<()>;
    /// Keeps an outcome that is to be replaced by [`Idempotency::complete`] once the request has ended: until then, and no
    /// longer than `until`, the request counts as still running. The key is not given away again.
    ///
    /// # Errors
    /// As [`Idempotency::complete`].
    async fn complete_for_now(&mut self, claim: &Claim, outcome: &str, until: Timestamp) -> Result<()>;
    /// Gives a reservation back, so that the key can be used again.
    async fn release(&mut self, claim: &Claim) -> Result<()>;
    /// Removes at most `limit` records whose time is over; says how many.
    async fn purge(&mut self, now: Timestamp, limit: usize) -> Result<u64>;
}

/// One request's claim to an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose key it is.
    pub caller: String,
    /// The key as it was sent.
    pub key: String,
    /// What the request was, in short.
    pub fingerprint: String,
    /// Names this reservation.
    pub token: Uuid,
    /// When the reservation may be taken over.
    pub lease_until: Timestamp,
    /// When the record goes.
    pub expires_at: Timestamp,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It is this request's turn.
    Reserved,
    /// The first request is still running.
    InProgress,
    /// The key was used for another request.
    Reused,
    /// The first request succeeded.
    Done {
        /// What was kept of it.
        outcome: String,
    },
}

/// Where a page begins (after this one, exclusive) and how long it may be.
#[derive(Debug, Clone, Copy)]
pub struct Page<K> {
    /// The last one of the page before.
    pub after: Option<K>,
    /// At most this many.
    pub limit: usize,
}

/// Which tenants to list.
#[derive(Debug, Clone, Default)]
pub struct TenantFilter {
    /// Only this one.
    pub id: Option<TenantId>,
    /// Only of this status, as it reads at [`TenantFilter::now`].
    pub status: Option<Status>,
    /// Only of this plan.
    pub plan: Option<Plan>,
    /// Only with this text in name or slug, whatever its case; no character is a wildcard.
    pub text: Option<String>,
    /// By which a trial has ended or not.
    pub now: Timestamp,
}

/// Which audit events to list; those that fulfil all of it.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only those of an existing tenant.
    pub tenant: Option<TenantId>,
    /// Only those of a tenant that exists no more.
    pub former_tenant: Option<TenantId>,
    /// Only of these actions.
    pub action: Option<ActionPattern>,
    /// Only of this kind.
    pub crud: Option<Crud>,
    /// Only done by this actor.
    pub actor_id: Option<String>,
    /// Only done to this target.
    pub target_id: Option<String>,
    /// Only received then or later.
    pub from: Option<Timestamp>,
    /// Only received before.
    pub to: Option<Timestamp>,
    /// Only with this text in one of its fields, whatever its case; no character is a wildcard.
    pub text: Option<String>,
}

/// A route, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRoute {
    /// Whose.
    pub tenant_id: TenantId,
    /// Which.
    pub route: HostRoute,
}
