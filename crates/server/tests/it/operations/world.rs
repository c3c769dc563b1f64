//! What a derived test starts from: a service that trusts an issuer, tenants to call operations on, and every kind of
//! caller.
//!
//! Invariant: [`Who::holds`] is the contract's table "Who may call", written down here by hand and not taken from the code.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::{AuditEvent, EventId};
use reqwest::Method;
use serde_json::{Value, json};
use store::{AuditFilter, Page, Scope};

use super::table::{Operation, Start};
use crate::support::client::DEV_TOKEN;
use crate::support::issuer::{Claims, TestIssuer};
use crate::support::{Answer, Client, Options, Service, StoreKind};

/// A service, its issuer, and what was done so far.
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) issuer: TestIssuer,
    subjects: AtomicUsize,
    requests: AtomicUsize,
}

/// A tenant to call operations on, and a second name that is free.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) id: String,
    pub(crate) slug: String,
    pub(crate) host: String,
    pub(crate) new: String,
    pub(crate) other_slug: String,
    pub(crate) other_host: String,
}

/// Every kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    DevToken,
    PlatformAdmin,
    /// A service account with `registry:internal`.
    Service,
    /// `IT_ADMIN` as realm role.
    TenantAdmin,
    /// `IT_ADMIN` as group of the organization.
    TenantAdminByGroup,
    Member,
    /// A tenant, and no role.
    Roleless,
    /// Roles that need a tenant, and none is named.
    TenantAdminOfNone,
    MemberOfNone,
    /// Scopes that only an API key has a use for.
    KeyScopes,
}

impl Who {
    pub(crate) const ALL: [Self; 10] = [
        Self::DevToken,
        Self::PlatformAdmin,
        Self::Service,
        Self::TenantAdmin,
        Self::TenantAdminByGroup,
        Self::Member,
        Self::Roleless,
        Self::TenantAdminOfNone,
        Self::MemberOfNone,
        Self::KeyScopes,
    ];
    /// Those that belong to one tenant and have a part in it.
    pub(crate) const TENANTS_OWN: [Self; 3] = [Self::TenantAdmin, Self::TenantAdminByGroup, Self::Member];

    /// The contract's table. `may` is what the document says in `x-may-call`.
    pub(crate) fn holds(self, may: &str) -> bool {
        let everything = matches!(self, Self::DevToken | Self::PlatformAdmin);
        let tenant_admin = matches!(self, Self::TenantAdmin | Self::TenantAdminByGroup);
        match may {
            "public" => true,
            "platform_admin" => everything,
            "tenant:read" => everything || tenant_admin || matches!(self, Self::Service | Self::Member),
            "hosts:write" => everything || tenant_admin,
            other => panic!("say here who holds {other}"),
        }
    }
}

impl World {
    pub(crate) async fn start(kind: StoreKind) -> Self {
        Self::start_with(kind, Options::default()).await
    }

    pub(crate) async fn start_with(kind: StoreKind, options: Options) -> Self {
        let issuer = TestIssuer::start().await;
        let options = options.set("KEYCLOAK_ISSUER", issuer.url());
        let service = Service::start_with(kind, options).await;
        Self { service, issuer, subjects: AtomicUsize::new(0), requests: AtomicUsize::new(0) }
    }

    /// A new tenant in this state, with one host.
    pub(crate) async fn subject(&self, start: Start) -> Subject {
        let n = self.subjects.fetch_add(1, Ordering::Relaxed);
        let (slug, other) = (format!("subject-{n}"), format!("other-{n}"));
        let make = async |slug: &str| {
            let hosts = [format!("https://{slug}.example.com")];
            let body = json!({ "slug": slug, "name": format!("Tenant {slug}"), "trial_days": 1, "hosts": hosts });
            self.service.admin.post("/v1/tenants", body).await.expect(201).body
        };
        let made = make(&slug).await;
        make(&other).await;
        let id = made["id"].as_str().unwrap().to_owned();
        match start {
            Start::Trial => {}
            Start::Active => self.drive(&id, "activate").await,
            Start::Frozen => self.drive(&id, "cancel").await,
        }
        let host = format!("{slug}.example.com");
        let other_host = format!("{other}.example.com");
        Subject { id, slug, host, new: format!("new-{n}"), other_slug: other, other_host }
    }

    async fn drive(&self, id: &str, call: &str) {
        self.service.admin.post_empty(&format!("/v1/tenants/{id}/{call}")).await.expect(200);
    }

    /// A client of this caller, whose tenant (where it has one) is the one with the slug.
    pub(crate) fn client(&self, who: Who, slug: &str) -> Client {
        let claims = |subject: &str| self.issuer.claims(subject);
        let claims: Claims = match who {
            Who::DevToken => return self.service.admin.bearer(DEV_TOKEN),
            Who::PlatformAdmin => claims("root").role("PLATFORM_ADMIN"),
            Who::Service => claims("billing").scope("profile registry:internal"),
            Who::TenantAdmin => claims("ada").role("IT_ADMIN").tenant(slug),
            Who::TenantAdminByGroup => {
                let mut organization = json!({});
                organization[slug] = json!({ "groups": ["/IT_ADMIN"] });
                claims("alan").with("organization", organization)
            }
            Who::Member => claims("max").role("MEMBER").tenant(slug),
            Who::Roleless => claims("nora").role("offline_access").tenant(slug),
            Who::TenantAdminOfNone => claims("ada").role("IT_ADMIN"),
            Who::MemberOfNone => claims("max").role("MEMBER"),
            Who::KeyScopes => claims("kim").scope("tenant:read hosts:write").tenant(slug),
        };
        self.service.admin.bearer(&self.issuer.token(claims))
    }

    /// A good call, as the table has it.
    pub(crate) async fn call(&self, client: &Client, operation: &Operation, subject: &Subject) -> Answer {
        let body = operation.body.map(|body| ("application/json", subject.fill(body).into_bytes()));
        self.send(client, &operation.method(), &subject.url(operation), body).await
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

    /// Every audit event, newest first.
    pub(crate) async fn events(&self) -> Vec<AuditEvent> {
        let mut tx = self.service.store.read(Scope::Platform).await.unwrap();
        tx.list_audit_events(&AuditFilter::default(), Page { after: None, limit: 100_000 }).await.unwrap()
    }

    pub(crate) async fn event_ids(&self) -> BTreeSet<EventId> {
        self.events().await.into_iter().map(|event| event.id).collect()
    }

    /// Says how much was tried.
    pub(crate) fn report(&self, test: &str, operations: usize) {
        let requests = self.requests.load(Ordering::Relaxed);
        eprintln!("{test}: {operations} operations, {requests} requests");
        assert!(operations > 0 && requests >= operations, "{test} tried nothing");
    }
}

impl Subject {
    /// Fills `{id}`, `{slug}`, `{host}`, and `{new}`, a name that nobody has; `{other_slug}` and `{other_host}` are another
    /// tenant's.
    pub(crate) fn fill(&self, template: &str) -> String {
        let values = [
            ("{id}", &self.id),
            ("{slug}", &self.slug),
            ("{host}", &self.host),
            ("{new}", &self.new),
            ("{other_slug}", &self.other_slug),
            ("{other_host}", &self.other_host),
        ];
        values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// Path and query of a good call.
    pub(crate) fn url(&self, operation: &Operation) -> String {
        self.url_with(operation, "")
    }

    /// The same with a further parameter.
    pub(crate) fn url_with(&self, operation: &Operation, parameter: &str) -> String {
        let parts = [self.fill(operation.query), parameter.to_owned()];
        let query: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let path = self.fill(operation.path);
        assert!(!path.contains('{'), "{}: nobody fills {path}", operation.id);
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }

    /// The body of a good call as JSON.
    pub(crate) fn body(&self, operation: &Operation) -> Value {
        serde_json::from_str(&self.fill(operation.body.unwrap_or("{}"))).unwrap()
    }

    /// The same names for a tenant that nobody made.
    pub(crate) fn absent(&self) -> Self {
        Self {
            id: "0199d0c0-0000-7000-8000-00000000dead".to_owned(),
            slug: format!("absent-{}", self.slug),
            host: format!("absent-{}", self.host),
            ..self.clone()
        }
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
