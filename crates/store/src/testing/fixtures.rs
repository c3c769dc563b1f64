//! Values for tests: tenants, routes, events, claims, a clock and a generator that do as they are told.
//!
//! The contract suite and the tests of every crate above build on these. Invariant: of two values of one kind the one
//! that was made later has the higher id, in one process, so that "newest first" is known without sleeping.

#![expect(clippy::expect_used, reason = "test support: a failure is a failed test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::entitlement::Source;
use domain::time::from_micros;
use domain::{
    ApiKey, ApiKeyId, AuditBatch, AuditEvent, CatalogRequest, CatalogRequestId, Change, ChangeSeq, Clock, Crud,
    Entitlement, EntitlementId, EventId, Grant, GrantState, HostRoute, KeyEnv, Limits, Nesting, NewApiKey, NewTenant,
    Party, Plan, Product, ProductInput, ProductKey, RequestStatus, ReservedSlugs, Rng, Secret, Slug, Tenant, TenantId,
    Timestamp,
};
use uuid::Uuid;

use crate::error::Result;
use crate::port::{Claim, Page, Scope, Store};

/// 2026-09-21T14:13:20.000001Z: when tests happen. Its last digit sees to it that microseconds count.
pub const NOW_MICROS: i64 = 1_790_000_000_000_001;

/// The instant at which tests happen.
#[must_use]
pub fn now() -> Timestamp {
    from_micros(NOW_MICROS)
}

/// That instant, later by seconds (or earlier).
#[must_use]
pub fn later(seconds: i64) -> Timestamp {
    from_micros(NOW_MICROS + seconds * 1_000_000)
}

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct FixedClock(AtomicI64);

impl Default for FixedClock {
    fn default() -> Self {
        Self(AtomicI64::new(NOW_MICROS))
    }
}

impl FixedClock {
    /// Moves it.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// A generator that counts: never the same bytes twice, and the same ones in every run.
#[derive(Debug, Default)]
pub struct CountingRng(AtomicU64);

impl Rng for CountingRng {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
        let count = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (to, from) in bytes.iter_mut().rev().zip(count.iter().rev()) {
            *to = *from;
        }
    }
}

/// A UUIDv7 that is higher than every one before it.
#[must_use]
pub fn next_uuid() -> Uuid {
    static COUNT: AtomicI64 = AtomicI64::new(0);
    let clock = FixedClock(AtomicI64::new(NOW_MICROS + COUNT.fetch_add(1, Ordering::Relaxed)));
    domain::ids::uuid_v7(&clock, &CountingRng::default())
}

/// A tenant of the plan `starter` in its trial, without hosts.
#[must_use]
pub fn tenant(slug: &str) -> Tenant {
    tenant_at(slug, &[])
}

/// A tenant with routes.
#[must_use]
pub fn tenant_at(slug: &str, urls: &[&str]) -> Tenant {
    NewTenant {
        slug: Slug::parse(slug, &ReservedSlugs::default()).expect("a slug"),
        name: format!("The {slug}"),
        plan: Plan::Starter,
        trial_days: 14,
        admin_email: None,
        admin_name: None,
        hosts: urls.iter().map(|url| route(url)).collect(),
        metadata: BTreeMap::new(),
    }
    .start(TenantId(next_uuid()), now())
}

/// A tenant that may be deleted.
#[must_use]
pub fn frozen(slug: &str, urls: &[&str]) -> Tenant {
    let mut tenant = tenant_at(slug, urls);
    tenant.cancel(later(1)).expect("a trial can be cancelled");
    tenant
}

/// A route.
#[must_use]
pub fn route(url: &str) -> HostRoute {
    HostRoute::parse("url", url).expect("a URL of a route")
}

/// An event of nobody's tenant.
#[must_use]
pub fn event(action: &str) -> AuditEvent {
    AuditEvent {
        id: EventId(next_uuid()),
        group: None,
        group_name: None,
        action: action.to_owned(),
        crud: Crud::U,
        actor: Some(Party::actor("somebody")),
        target: None,
        created: now(),
        received: now(),
        source_ip: None,
        description: None,
        is_anonymous: false,
        is_failure: false,
        fields: BTreeMap::new(),
        component: None,
        version: None,
        external_id: None,
        metadata: BTreeMap::new(),
    }
}

/// A batch of one event.
#[must_use]
pub fn audit(action: &str) -> AuditBatch {
    AuditBatch::of(event(action))
}

/// An API key, whose text nobody knows.
#[must_use]
pub fn api_key(tenant: Option<TenantId>, scopes: &[&str]) -> ApiKey {
    let id = ApiKeyId(next_uuid());
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let new = NewApiKey { tenant_id: tenant, name: "A key".to_owned(), scopes, expires_at: None };
    new.make(id, KeyEnv::Dev, &Secret::from(format!("trk_dev_{id}")), "somebody", now())
}

/// Stores a key, with an event.
///
/// # Errors
/// As the store.
pub async fn insert_key(store: &Arc<dyn Store>, key: &ApiKey) -> Result<()> {
    let mut tx = store.begin(Scope::Platform).await?;
    tx.insert_api_key(key).await?;
    tx.commit(audit("api_key.created")).await
}

/// A claim to a key for a minute, kept for an hour.
#[must_use]
pub fn claim(key: &str) -> Claim {
    Claim {
        caller: "caller".to_owned(),
        key: key.to_owned(),
        fingerprint: "POST /v1/tenants".to_owned(),
        token: next_uuid(),
        lease_until: later(60),
        expires_at: later(3_600),
    }
}

/// The first page, of at most `limit`.
#[must_use]
pub fn first<K>(limit: usize) -> Page<K> {
    Page { after: None, limit }
}

/// Stores a tenant, with an event of its own.
///
/// # Errors
/// As the store.
pub async fn create(store: &Arc<dyn Store>, tenant: &Tenant) -> Result<()> {
    create_nested(store, tenant, Nesting::Allowed).await
}

/// Stores a tenant whose routes are held against those of others.
///
/// # Errors
/// As the store.
pub async fn create_nested(store: &Arc<dyn Store>, tenant: &Tenant, nesting: Nesting) -> Result<()> {
    let mut tx = store.begin(Scope::Platform).await?;
    tx.insert_tenant(tenant, nesting).await?;
    tx.commit(AuditBatch::of(event("tenant.created").about(tenant))).await
}

/// Stores a new version of a tenant, with an event of its own.
///
/// # Errors
/// As the store.
pub async fn update(store: &Arc<dyn Store>, tenant: &Tenant) -> Result<()> {
    let mut tx = store.begin(Scope::Platform).await?;
    tx.update_tenant(tenant).await?;
    tx.commit(AuditBatch::of(event("tenant.updated").about(tenant))).await
}

/// Deletes a tenant, with an event of its own.
///
/// # Errors
/// As the store.
pub async fn delete(store: &Arc<dyn Store>, tenant: &Tenant) -> Result<()> {
    let mut tx = store.begin(Scope::Platform).await?;
    tx.delete_tenant(tenant, later(2)).await?;
    tx.commit(AuditBatch::of(event("tenant.deleted").about(tenant))).await
}

/// The tenant as it is stored.
///
/// # Errors
/// As the store.
pub async fn stored(store: &Arc<dyn Store>, tenant: &Tenant) -> Result<Option<Tenant>> {
    store.read(Scope::Platform).await?.get_tenant(tenant.id).await
}

/// The whole feed behind a place, read in pages until it is complete; it waits for gaps to close.
///
/// # Errors
/// As the store.
pub async fn feed_after(store: &Arc<dyn Store>, mut after: ChangeSeq) -> Result<Vec<Change>> {
    let mut all = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let page = store.changes(after, 1_000).await?;
        after = page.changes.last().map_or(after, |change| change.seq);
        all.extend(page.changes);
        if page.complete {
            return Ok(all);
        }
        assert!(Instant::now() < deadline, "the feed is not complete in time, behind {after:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a question is answered with yes.
///
/// # Panics
/// When that takes longer than half a minute.
pub async fn eventually<F>(what: &str, mut ask: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ask().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A product that can be asked for, with trials of a fortnight.
#[must_use]
pub fn product(key: &str) -> Product {
    let input = ProductInput { name: format!("The {key}"), description: None, trial_days: None, requestable: None };
    input.start(ProductKey::parse(key).expect("a product's key"), now())
}

/// What a tenant has of a product for good.
#[must_use]
pub fn entitlement(tenant: &Tenant, product: &str) -> Entitlement {
    let grant = Grant { state: GrantState::Active, starts_at: None, expires_at: None, limits: Limits::new() };
    grant.start(EntitlementId(next_uuid()), tenant.id, product.to_owned(), Source::Grant, now())
}

/// A tenant's open request for a product.
#[must_use]
pub fn catalog_request(tenant: &Tenant, product: &str) -> CatalogRequest {
    CatalogRequest {
        id: CatalogRequestId(next_uuid()),
        tenant_id: tenant.id,
        product: product.to_owned(),
        message: None,
        status: RequestStatus::Open,
        requested_by: "user:ada".to_owned(),
        decided_by: None,
        created_at: now(),
        decided_at: None,
    }
}

/// Puts products into the catalog, with an event of their own.
///
/// # Errors
/// As the store.
pub async fn offer(store: &Arc<dyn Store>, keys: &[&str]) -> Result<()> {
    let mut tx = store.begin(Scope::Platform).await?;
    for key in keys {
        tx.insert_product(&product(key)).await?;
    }
    tx.commit(audit("product.created")).await
}

/// Stores an entitlement, with an event of its own.
///
/// # Errors
/// As the store.
pub async fn give(store: &Arc<dyn Store>, entitlement: &Entitlement) -> Result<()> {
    let mut tx = store.begin(Scope::Platform).await?;
    tx.put_entitlement(entitlement).await?;
    tx.commit(audit("entitlement.granted")).await
}
