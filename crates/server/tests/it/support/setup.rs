//! How tests arrange services: with faults, with an issuer, several on one database; and what they find written.
//!
//! Files beside this one use it. Invariant: nothing here changes tenants but through the public API; the store is only
//! read, where no route shows what was written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::{AuditEvent, ChangeSeq};
use serde_json::Value;
use store::postgres::{PgSettings, PgStore};
use store::{AuditFilter, Page, Scope, Store, TenantFilter};

use super::faulty::{Faults, FaultyStore};
use super::issuer::TestIssuer;
use super::server::{fresh_database, open_store};
use super::{Client, Options, Service, StoreKind};

/// A service on a store with faults.
pub(crate) async fn faulty(kind: StoreKind, options: Options) -> (Service, Arc<Faults>) {
    let (store, faults) = FaultyStore::over(open_store(kind).await);
    let service = Service::start_with(kind, Options { store: Some(store), ..options }).await;
    (service, faults)
}

/// Several services on one database, each with faults of its own. On PostgreSQL each has its own connections; on SQLite
/// they share one store, as nothing else can.
pub(crate) async fn replicas(kind: StoreKind, count: usize) -> Vec<(Service, Arc<Faults>)> {
    replicas_with(kind, count, Options::default).await
}

/// The same, each with options of its own.
pub(crate) async fn replicas_with(
    kind: StoreKind,
    count: usize,
    options: impl Fn() -> Options,
) -> Vec<(Service, Arc<Faults>)> {
    let mut services = Vec::new();
    let url = if kind == StoreKind::Postgres { fresh_database().await } else { String::new() };
    let shared = if kind == StoreKind::Sqlite { Some(open_store(kind).await) } else { None };
    for _ in 0..count {
        let own: Arc<dyn Store> = match &shared {
            Some(store) => Arc::clone(store),
            None => Arc::new(
                PgStore::connect(PgSettings { max_connections: 6, ..PgSettings::new(url.clone()) }).await.unwrap(),
            ),
        };
        let (store, faults) = FaultyStore::over(own);
        services.push((Service::start_with(kind, Options { store: Some(store), ..options() }).await, faults));
    }
    services
}

/// A service that takes the tokens of an issuer in this process.
pub(crate) async fn with_issuer(kind: StoreKind) -> (Service, TestIssuer) {
    let issuer = TestIssuer::start().await;
    let options = Options::default().set("KEYCLOAK_ISSUER", issuer.url());
    (Service::start_with(kind, options).await, issuer)
}

/// The client of a tenant's administrator.
pub(crate) fn tenant_admin(service: &Service, issuer: &TestIssuer, slug: &str) -> Client {
    let claims = issuer.claims(&format!("admin-of-{slug}")).role("IT_ADMIN").tenant(slug);
    service.admin.bearer(&issuer.token(claims))
}

/// Every audit event, newest first.
pub(crate) async fn events(service: &Service) -> Vec<AuditEvent> {
    let mut tx = service.store.read(Scope::Platform).await.unwrap();
    tx.list_audit_events(&AuditFilter::default(), Page { after: None, limit: 10_000 }).await.unwrap()
}

/// The events about one tenant, newest first. A deleted tenant's are found by their target.
pub(crate) async fn events_of(service: &Service, tenant: &Value) -> Vec<AuditEvent> {
    let id = id_of(tenant);
    let about = |event: &AuditEvent| {
        event.group.is_some_and(|group| group.to_string() == id) || event.target.as_ref().is_some_and(|t| t.id == id)
    };
    events(service).await.into_iter().filter(about).collect()
}

/// The actions of the events about one tenant, newest first.
pub(crate) async fn actions_of(service: &Service, tenant: &Value) -> Vec<String> {
    events_of(service, tenant).await.into_iter().map(|event| event.action).collect()
}

/// What is written: how many tenants, audit events, and changes.
pub(crate) async fn traces(service: &Service) -> (usize, usize, usize) {
    let events = events(service).await.len();
    let changes = service.store.changes(ChangeSeq(0), 10_000).await.unwrap().changes.len();
    let mut tx = service.store.read(Scope::Platform).await.unwrap();
    let tenants = tx.list_tenants(&TenantFilter::default(), Page { after: None, limit: 10_000 }).await.unwrap().len();
    (tenants, events, changes)
}

/// The id in an answer.
pub(crate) fn id_of(tenant: &Value) -> String {
    tenant["id"].as_str().unwrap().to_owned()
}

/// The path of a tenant, and what follows it.
pub(crate) fn path_of(tenant: &Value, rest: &str) -> String {
    format!("/v1/tenants/{}{rest}", tenant["id"].as_str().unwrap())
}

/// A text as it stands in a URL, everything but letters and digits escaped.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// Turns a fault on.
pub(crate) fn on(switch: &AtomicBool) {
    switch.store(true, Ordering::SeqCst);
}

/// Turns a fault off.
pub(crate) fn off(switch: &AtomicBool) {
    switch.store(false, Ordering::SeqCst);
}

/// As `both_stores!`, for tests that start their services themselves.
macro_rules! each_store {
    ($($(#[$attribute:meta])* async fn $name:ident($kind:ident: StoreKind) $body:block)+) => {$(
        mod $name {
            use super::*;
            async fn case($kind: $crate::support::StoreKind) $body
            async fn run(kind: $crate::support::StoreKind) {
                if !$crate::support::server::left_out(kind) {
                    case(kind).await;
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
pub(crate) use each_store;
