//! A store with faults on demand, in front of a real one: it counts, delays, fails and panics as a test says.
//!
//! Tests of the read model and of the manners start a service on it. Invariant: without a fault switched on it does
//! exactly what the store behind it does.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::{
    ApiKey, ApiKeyId, AuditBatch, AuditEvent, CatalogRequest, CatalogRequestId, ChangeSeq, Entitlement, EntitlementId,
    EventId, HostRoute, IdentityWork, KeyHash, Nesting, Product, ProductKey, Tenant, TenantId, Timestamp,
};
use store::{
    ApiKeys, AuditFilter, AuditLog, Catalog, CatalogReads, ChangePage, Claim, Claimed, EntitlementFilter,
    EntitlementRow, Entitlements, Idempotency, Installation, Page, ProvisioningReads, ProvisioningWork, Publisher,
    ReadTx, Removal, RequestFilter, Result, Saved, SchemaState, Scope, Store, StoreError, TenantFilter, TenantRoute,
    Tenants, Tx, Unaudited,
};
use tokio::sync::watch;

use super::gate::Gate;

/// What a driver would say, and no caller may read.
pub(crate) const DRIVER_TEXT: &str = "connection to db-7.internal refused for registry:hunter2";
/// What a panic says, and no caller may read.
pub(crate) const PANIC_TEXT: &str = "planted-panic-of-the-tests";

/// An event of this action is refused, as a check of the database would.
pub(crate) const REFUSED_ACTION: &str = "planted.refusal";

/// The switches, and what was counted.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Everything fails as if the database were away.
    pub(crate) away: AtomicBool,
    /// Only the feed fails.
    pub(crate) feed_away: AtomicBool,
    /// The feed has a gap that nobody fills.
    pub(crate) gap: AtomicBool,
    /// Which database server is said to answer.
    pub(crate) server: AtomicUsize,
    /// Every read panics.
    pub(crate) panics: AtomicBool,
    /// The freezing job finds nothing to do.
    pub(crate) idle_jobs: AtomicBool,
    /// Look-ups of one tenant, of its entitlements and of one key wait here once they have read.
    pub(crate) after_look_up: Gate,
    /// Whoever asks where the feed ends waits here before it is looked.
    pub(crate) before_head: Gate,
    /// New tenants wait here before they are written.
    pub(crate) before_insert: Gate,
    /// Publications wait here before they are written.
    pub(crate) before_publishing: Gate,
    /// Events that are published at once are stored, and their publisher hears that the database is away.
    pub(crate) answers_lost: AtomicBool,
    /// How many events came with each publication that was written.
    pub(crate) published: Mutex<Vec<usize>>,
    /// How many reads began.
    pub(crate) reads: AtomicUsize,
    /// How often the feed was asked.
    pub(crate) feed_calls: AtomicUsize,
    /// By what the audit log was read.
    pub(crate) audit_filters: Mutex<Vec<AuditFilter>>,
    /// How often the freezing job looked.
    pub(crate) job_runs: AtomicUsize,
}

impl Faults {
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn feed_calls(&self) -> usize {
        self.feed_calls.load(Ordering::SeqCst)
    }

    pub(crate) fn job_runs(&self) -> usize {
        self.job_runs.load(Ordering::SeqCst)
    }

    async fn before_writing(&self, events: &[AuditEvent]) -> Result<()> {
        self.before_publishing.pass().await;
        self.check()?;
        if events.iter().any(|event| event.action == REFUSED_ACTION) {
            return Err(StoreError::Refused(DRIVER_TEXT.to_owned()));
        }
        self.published.lock().unwrap().push(events.len());
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.away.load(Ordering::SeqCst) { Err(StoreError::Unavailable(DRIVER_TEXT.to_owned())) } else { Ok(()) }
    }
}

/// The store.
#[derive(Debug)]
pub(crate) struct FaultyStore {
    inner: Arc<dyn Store>,
    faults: Arc<Faults>,
}

impl FaultyStore {
    pub(crate) fn over(inner: Arc<dyn Store>) -> (Arc<dyn Store>, Arc<Faults>) {
        let faults = Arc::new(Faults::default());
        (Arc::new(Self { inner, faults: Arc::clone(&faults) }), faults)
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn read(&self, scope: Scope) -> Result<Box<dyn ReadTx>> {
        self.faults.reads.fetch_add(1, Ordering::SeqCst);
        assert!(!self.faults.panics.load(Ordering::SeqCst), "{PANIC_TEXT}");
        self.faults.check()?;
        Ok(Box::new(FaultyTx { inner: self.inner.read(scope).await?, faults: Arc::clone(&self.faults) }))
    }

    async fn begin(&self, scope: Scope) -> Result<Box<dyn Tx>> {
        self.faults.check()?;
        Ok(Box::new(FaultyTx { inner: self.inner.begin(scope).await?, faults: Arc::clone(&self.faults) }))
    }

    async fn changes(&self, after: ChangeSeq, limit: usize) -> Result<ChangePage> {
        self.faults.feed_calls.fetch_add(1, Ordering::SeqCst);
        self.faults.check()?;
        if self.faults.feed_away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable(DRIVER_TEXT.to_owned()));
        }
        if self.faults.gap.load(Ordering::SeqCst) {
            return Ok(ChangePage { changes: Vec::new(), complete: false, server: 0 });
        }
        let server = self.faults.server.load(Ordering::SeqCst) as u64;
        Ok(ChangePage { server, ..self.inner.changes(after, limit).await? })
    }

    async fn head(&self) -> Result<ChangeSeq> {
        self.faults.check()?;
        self.faults.before_head.pass().await;
        self.inner.head().await
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.inner.wake()
    }

    fn publisher(&self) -> Box<dyn Publisher> {
        Box::new(FaultyPublisher { inner: self.inner.publisher(), faults: Arc::clone(&self.faults) })
    }

    async fn due_identity_work(&self, now: Timestamp, limit: usize) -> Result<Vec<TenantId>> {
        self.faults.check()?;
        self.inner.due_identity_work(now, limit).await
    }

    async fn installation(&self) -> Result<Installation> {
        self.inner.installation().await
    }

    async fn check(&self) -> Result<SchemaState> {
        self.faults.check()?;
        self.inner.check().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

struct FaultyPublisher {
    faults: Arc<Faults>,
    inner: Box<dyn Publisher>,
}

#[async_trait]
impl Publisher for FaultyPublisher {
    async fn publish(&mut self, events: &[AuditEvent]) -> Result<()> {
        self.faults.before_writing(events).await?;
        self.inner.publish(events).await?;
        if self.faults.answers_lost.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable(DRIVER_TEXT.to_owned()));
        }
        Ok(())
    }
}

struct FaultyTx<T: ?Sized> {
    faults: Arc<Faults>,
    inner: Box<T>,
}

#[async_trait]
impl<T: ReadTx + ?Sized> ReadTx for FaultyTx<T> {
    async fn get_tenant(&mut self, id: TenantId) -> Result<Option<Tenant>> {
        let found = self.inner.get_tenant(id).await;
        self.faults.after_look_up.pass().await;
        found
    }

    async fn get_tenant_by_slug(&mut self, slug: &str) -> Result<Option<Tenant>> {
        let found = self.inner.get_tenant_by_slug(slug).await;
        self.faults.after_look_up.pass().await;
        found
    }

    async fn list_tenants(&mut self, filter: &TenantFilter, page: Page<TenantId>) -> Result<Vec<Tenant>> {
        self.inner.list_tenants(filter, page).await
    }

    async fn tenants_with_metadata(&mut self, key: &str, value: &str, limit: usize) -> Result<Vec<TenantId>> {
        let found = self.inner.tenants_with_metadata(key, value, limit).await;
        self.faults.after_look_up.pass().await;
        found
    }

    async fn routes_of_host(&mut self, host: &str) -> Result<Vec<TenantRoute>> {
        self.inner.routes_of_host(host).await
    }

    async fn list_routes(&mut self, after: Option<(String, String)>, limit: usize) -> Result<Vec<TenantRoute>> {
        self.inner.list_routes(after, limit).await
    }

    async fn get_api_key(&mut self, id: ApiKeyId) -> Result<Option<ApiKey>> {
        self.inner.get_api_key(id).await
    }

    async fn get_api_key_by_hash(&mut self, hash: &KeyHash) -> Result<Option<ApiKey>> {
        let found = self.inner.get_api_key_by_hash(hash).await;
        self.faults.after_look_up.pass().await;
        found
    }

    async fn list_api_keys(&mut self, tenant: Option<TenantId>, page: Page<ApiKeyId>) -> Result<Vec<ApiKey>> {
        self.inner.list_api_keys(tenant, page).await
    }

    async fn list_audit_events(
        &mut self,
        filter: &AuditFilter,
        page: Page<(Timestamp, EventId)>,
    ) -> Result<Vec<AuditEvent>> {
        self.faults.audit_filters.lock().unwrap().push(filter.clone());
        self.inner.list_audit_events(filter, page).await
    }

    async fn is_former_tenant(&mut self, id: TenantId) -> Result<bool> {
        self.inner.is_former_tenant(id).await
    }
}

#[async_trait]
impl<T: ReadTx + ?Sized> ProvisioningReads for FaultyTx<T> {
    async fn get_identity_work(&mut self, tenant: TenantId) -> Result<Option<IdentityWork>> {
        self.inner.get_identity_work(tenant).await
    }

    async fn former_holders_of_slug(&mut self, slug: &str) -> Result<Vec<TenantId>> {
        self.inner.former_holders_of_slug(slug).await
    }
}

#[async_trait]
impl ProvisioningWork for FaultyTx<dyn Tx> {
    async fn ask_for_provisioning(&mut self, tenant: &Tenant, at: Timestamp, due_at: Timestamp) -> Result<bool> {
        self.inner.ask_for_provisioning(tenant, at, due_at).await
    }

    async fn claim_identity_work(
        &mut self,
        tenant: TenantId,
        now: Timestamp,
        due_by: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<IdentityWork>> {
        self.inner.claim_identity_work(tenant, now, due_by, lease_until).await
    }

    async fn save_identity_work(&mut self, work: &IdentityWork, told: Option<&Tenant>) -> Result<Saved> {
        self.inner.save_identity_work(work, told).await
    }

    async fn remove_identity_work(&mut self, work: &IdentityWork) -> Result<bool> {
        self.inner.remove_identity_work(work).await
    }

    async fn lock_identity_work_of_account(&mut self, account: &str) -> Result<Vec<IdentityWork>> {
        self.inner.lock_identity_work_of_account(account).await
    }
}

#[async_trait]
impl Tenants for FaultyTx<dyn Tx> {
    async fn lock_tenant(&mut self, id: TenantId) -> Result<Option<Tenant>> {
        self.inner.lock_tenant(id).await
    }

    async fn insert_tenant(&mut self, tenant: &Tenant, nesting: Nesting) -> Result<()> {
        self.faults.before_insert.pass().await;
        self.inner.insert_tenant(tenant, nesting).await
    }

    async fn update_tenant(&mut self, tenant: &Tenant) -> Result<()> {
        self.inner.update_tenant(tenant).await
    }

    async fn delete_tenant(&mut self, tenant: &Tenant, at: Timestamp) -> Result<()> {
        self.inner.delete_tenant(tenant, at).await
    }

    async fn add_host(&mut self, tenant: TenantId, route: &HostRoute, nesting: Nesting) -> Result<()> {
        self.inner.add_host(tenant, route, nesting).await
    }

    async fn remove_host(&mut self, tenant: TenantId, route: &HostRoute) -> Result<bool> {
        self.inner.remove_host(tenant, route).await
    }

    async fn lock_ended_trials(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Tenant>> {
        self.faults.job_runs.fetch_add(1, Ordering::SeqCst);
        if self.faults.idle_jobs.load(Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        self.inner.lock_ended_trials(now, limit).await
    }
}

#[async_trait]
impl<T: ReadTx + ?Sized> CatalogReads for FaultyTx<T> {
    async fn entitlements_of(&mut self, tenant: TenantId) -> Result<Vec<Entitlement>> {
        let found = self.inner.entitlements_of(tenant).await;
        self.faults.after_look_up.pass().await;
        found
    }

    async fn get_entitlement(&mut self, id: EntitlementId) -> Result<Option<Entitlement>> {
        self.inner.get_entitlement(id).await
    }

    async fn get_entitlement_to(&mut self, tenant: TenantId, product: &str) -> Result<Option<Entitlement>> {
        self.inner.get_entitlement_to(tenant, product).await
    }

    async fn list_entitlements(
        &mut self,
        filter: &EntitlementFilter,
        page: Page<EntitlementId>,
    ) -> Result<Vec<EntitlementRow>> {
        self.inner.list_entitlements(filter, page).await
    }

    async fn get_product(&mut self, key: &str) -> Result<Option<Product>> {
        self.inner.get_product(key).await
    }

    async fn list_products(&mut self, all: bool, page: Page<(Timestamp, ProductKey)>) -> Result<Vec<Product>> {
        self.inner.list_products(all, page).await
    }

    async fn get_catalog_request(&mut self, id: CatalogRequestId) -> Result<Option<CatalogRequest>> {
        self.inner.get_catalog_request(id).await
    }

    async fn list_catalog_requests(
        &mut self,
        filter: &RequestFilter,
        page: Page<CatalogRequestId>,
    ) -> Result<Vec<CatalogRequest>> {
        self.inner.list_catalog_requests(filter, page).await
    }
}

#[async_trait]
impl Entitlements for FaultyTx<dyn Tx> {
    async fn put_entitlement(&mut self, entitlement: &Entitlement) -> Result<()> {
        self.inner.put_entitlement(entitlement).await
    }

    async fn use_trial(&mut self, tenant: TenantId, product: &str, at: Timestamp) -> Result<bool> {
        self.inner.use_trial(tenant, product, at).await
    }
}

#[async_trait]
impl Catalog for FaultyTx<dyn Tx> {
    async fn hold_product(&mut self, key: &str) -> Result<Option<Product>> {
        self.inner.hold_product(key).await
    }

    async fn lock_product(&mut self, key: &str) -> Result<Option<Product>> {
        self.inner.lock_product(key).await
    }

    async fn insert_product(&mut self, product: &Product) -> Result<bool> {
        self.inner.insert_product(product).await
    }

    async fn update_product(&mut self, product: &Product) -> Result<()> {
        self.inner.update_product(product).await
    }

    async fn delete_product(&mut self, key: &str) -> Result<Removal> {
        self.inner.delete_product(key).await
    }

    async fn insert_catalog_request(&mut self, request: &CatalogRequest) -> Result<bool> {
        self.inner.insert_catalog_request(request).await
    }

    async fn lock_catalog_request(&mut self, id: CatalogRequestId) -> Result<Option<CatalogRequest>> {
        self.inner.lock_catalog_request(id).await
    }

    async fn decide_catalog_request(&mut self, request: &CatalogRequest) -> Result<()> {
        self.inner.decide_catalog_request(request).await
    }
}

#[async_trait]
impl ApiKeys for FaultyTx<dyn Tx> {
    async fn lock_api_key(&mut self, id: ApiKeyId) -> Result<Option<ApiKey>> {
        self.inner.lock_api_key(id).await
    }

    async fn insert_api_key(&mut self, key: &ApiKey) -> Result<()> {
        self.inner.insert_api_key(key).await
    }

    async fn update_api_key(&mut self, key: &ApiKey) -> Result<()> {
        self.inner.update_api_key(key).await
    }

    async fn note_api_key_use(&mut self, used: &[(ApiKeyId, Timestamp)]) -> Result<u64> {
        self.inner.note_api_key_use(used).await
    }
}

#[async_trait]
impl AuditLog for FaultyTx<dyn Tx> {
    async fn detach_audit_events(&mut self, batch: usize, now: Timestamp) -> Result<u64> {
        self.inner.detach_audit_events(batch, now).await
    }

    async fn publish_audit_events(&mut self, events: &[AuditEvent]) -> Result<Vec<EventId>> {
        self.faults.before_writing(events).await?;
        self.inner.publish_audit_events(events).await
    }

    async fn ensure_audit_partitions(&mut self, now: Timestamp) -> Result<()> {
        self.inner.ensure_audit_partitions(now).await
    }
}

#[async_trait]
impl Idempotency for FaultyTx<dyn Tx> {
    async fn reserve(&mut self, claim: &Claim, now: Timestamp) -> Result<Claimed> {
        self.inner.reserve(claim, now).await
    }

    async fn complete(&mut self, claim: &Claim, outcome: &str) -> Result<()> {
        self.inner.complete(claim, outcome).await
    }

    async fn complete_for_now(&mut self, claim: &Claim, outcome: &str, until: Timestamp) -> Result<()> {
        self.inner.complete_for_now(claim, outcome, until).await
    }

    async fn release(&mut self, claim: &Claim) -> Result<()> {
        self.inner.release(claim).await
    }

    async fn purge(&mut self, now: Timestamp, limit: usize) -> Result<u64> {
        self.inner.purge(now, limit).await
    }
}

#[async_trait]
impl Tx for FaultyTx<dyn Tx> {
    async fn commit(self: Box<Self>, audit: AuditBatch) -> Result<()> {
        self.inner.commit(audit).await
    }

    async fn commit_unaudited(self: Box<Self>, why: Unaudited) -> Result<()> {
        self.inner.commit_unaudited(why).await
    }
}
