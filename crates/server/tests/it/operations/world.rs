//! What a derived test starts from: a service that trusts an issuer, and a look at what calls leave.
//!
//! What is called on is made in `subject.rs`, who calls in `who.rs`. Invariant: every request of a derived test is counted,
//! and a test that tried nothing fails.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::{AuditEvent, EventId};
use reqwest::Method;
use store::{AuditFilter, Page, Scope};
use tokio::sync::OnceCell;

pub(crate) use super::subject::Subject;
use super::table::{Clash, Operation};
use super::who::Caller;
pub(crate) use super::who::Who;
use crate::support::issuer::TestIssuer;
use crate::support::{Answer, Client, Options, Service, StoreKind};

/// A service, its issuer, and what was done so far.
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) issuer: TestIssuer,
    pub(super) subjects: AtomicUsize,
    pub(super) platform_key: OnceCell<Caller>,
    pub(super) service_key: OnceCell<Caller>,
    requests: AtomicUsize,
}

/// The newest events at some moment, by which later ones are known.
#[derive(Debug, Clone)]
pub(crate) struct Mark(BTreeSet<EventId>);

/// How many events are looked at; no test leaves as many between two looks.
const NEWEST: usize = 100;

impl World {
    pub(crate) async fn start(kind: StoreKind) -> Self {
        Self::start_with(kind, Options::default()).await
    }

    pub(crate) async fn start_with(kind: StoreKind, options: Options) -> Self {
        let issuer = TestIssuer::start().await;
        let options = options.set("KEYCLOAK_ISSUER", issuer.url());
        let service = Service::start_with(kind, options).await;
        Self {
            service,
            issuer,
            subjects: AtomicUsize::new(0),
            platform_key: OnceCell::new(),
            service_key: OnceCell::new(),
            requests: AtomicUsize::new(0),
        }
    }

    /// A good call, as the table has it.
    pub(crate) async fn call(&self, client: &Client, operation: &Operation, subject: &Subject) -> Answer {
        self.call_with(client, operation, subject, operation.body).await
    }

    /// A call that meets this.
    pub(crate) async fn call_into(
        &self,
        client: &Client,
        operation: &Operation,
        subject: &Subject,
        clash: &Clash,
    ) -> Answer {
        self.call_with(client, operation, subject, clash.body.or(operation.body)).await
    }

    async fn call_with(&self, client: &Client, row: &Operation, subject: &Subject, body: Option<&str>) -> Answer {
        let body = body.map(|body| ("application/json", subject.fill(body).into_bytes()));
        self.send(client, &row.method(), &subject.url(row), body).await
    }

    /// A request that is counted.
    pub(crate) async fn send(
        &self,
        client: &Client,
        method: &Method,
        url: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Answer {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let (media, bytes) = body.unwrap_or_default();
        client.send_bytes(method.clone(), url, media, bytes).await
    }

    /// The newest audit events, newest first.
    async fn newest(&self) -> Vec<AuditEvent> {
        let mut tx = self.service.store.read(Scope::Platform).await.unwrap();
        tx.list_audit_events(&AuditFilter::default(), Page { after: None, limit: NEWEST }).await.unwrap()
    }

    /// What is there now.
    pub(crate) async fn mark(&self) -> Mark {
        Mark(self.newest().await.into_iter().map(|event| event.id).collect())
    }

    /// The events that came since, oldest first.
    pub(crate) async fn since(&self, mark: &Mark) -> Vec<AuditEvent> {
        let mut events = self.newest().await;
        events.retain(|event| !mark.0.contains(&event.id));
        events.reverse();
        assert!(events.len() < NEWEST, "more events than are looked at");
        events
    }

    /// Asserts that no event came since.
    pub(crate) async fn nothing_since(&self, mark: &Mark, what: &str) {
        let actions: Vec<_> = self.since(mark).await.into_iter().map(|event| event.action).collect();
        assert!(actions.is_empty(), "{what} left {actions:?}");
    }

    /// Says how much was tried.
    pub(crate) fn report(&self, test: &str, operations: usize) {
        let requests = self.requests.load(Ordering::Relaxed);
        eprintln!("{test}: {operations} operations, {requests} requests");
        assert!(operations > 0 && requests >= operations, "{test} tried nothing");
    }
}

/// Writes each test once and runs it on both stores, with an issuer.
macro_rules! on_both_stores {
    ($(async fn $name:ident($world:ident: $kind:ident) $body:block)+) => {$(
        mod $name {
            use super::*;
            async fn case($world: $kind) $body
            async fn run(kind: $crate::support::StoreKind) {
                if !$crate::support::server::left_out(kind) {
                    case($crate::operations::world::World::start(kind).await).await;
                }
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                run($crate::support::StoreKind::Sqlite).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                run($crate::support::StoreKind::Postgres).await;
            }
        }
    )+};
}
pub(crate) use on_both_stores;
