//! Provisioning over HTTP, on both stores, with the identity provider in memory that does as it is told.
//!
//! Numbers of cases are those of the list of failure modes that the adapter's tests count by, too.

mod changes;
mod crash;
mod fence;
mod freezing;
mod secrets;
mod shared;
mod steps;
mod waiting;

use std::sync::Arc;

use domain::{Clock as _, IdentityWork, TenantId};
use serde_json::{Value, json};
use server::identity::mock::{MockAccount, MockOrganization, MockProvider};
use store::postgres::{PgSettings, PgStore};
use store::sqlite::SqliteStore;
use store::{Scope, Store};

use crate::support::server::{eventually, fresh_database};
use crate::support::setup::{events_of, id_of, path_of};
use crate::support::{Options, Service, StoreKind};

/// A service whose identity provider the test holds.
struct World {
    service: Service,
    mock: Arc<MockProvider>,
    /// Lives as long.
    _tables: Option<Arc<Tables>>,
}

impl World {
    async fn start(kind: StoreKind) -> Self {
        Self::start_with(kind, Options::default()).await
    }

    async fn start_with(kind: StoreKind, options: Options) -> Self {
        let mock = Arc::new(MockProvider::default());
        let identity = Arc::clone(&mock) as Arc<_>;
        let service = Service::start_with(kind, Options { identity: Some(identity), ..options }).await;
        Self { service, mock, _tables: None }
    }

    /// Two services on the same tables, each with a store of its own, and one identity provider.
    async fn pair(kind: StoreKind) -> (Self, Self) {
        let (tables, mock) = (Arc::new(Tables::make(kind).await), Arc::new(MockProvider::default()));
        let one = async || {
            let identity = Some(Arc::clone(&mock) as Arc<_>);
            let options = Options { identity, store: Some(tables.open().await), ..Options::default() };
            let service = Service::start_with(kind, options).await;
            Self { service, mock: Arc::clone(&mock), _tables: Some(Arc::clone(&tables)) }
        };
        (one().await, one().await)
    }

    /// Makes a tenant whose administrator is to be invited.
    async fn invite(&self, slug: &str) -> Value {
        self.service.admin.post("/v1/tenants", invitation(slug)).await.expect(201).body
    }

    async fn provision(&self, tenant: &Value) -> Value {
        self.service.admin.post_empty(&path_of(tenant, "/provision")).await.expect(200).body
    }

    async fn call(&self, tenant: &Value, call: &str) {
        self.service.admin.post_empty(&path_of(tenant, call)).await.expect(200);
    }

    async fn delete(&self, tenant: &Value) {
        self.service.admin.delete(&path_of(tenant, "")).await.expect(204);
    }

    /// What is shown of a tenant's provisioning.
    async fn shown(&self, tenant: &Value) -> Value {
        self.service.admin.get(&path_of(tenant, "")).await.expect(200).body["provisioning"].clone()
    }

    async fn until_status(&self, tenant: &Value, status: &str) {
        eventually(&format!("{status} of {}", tenant["slug"]), async || self.shown(tenant).await["status"] == status)
            .await;
    }

    /// The actions in the audit log about a tenant's identity, oldest first.
    async fn told(&self, tenant: &Value) -> Vec<String> {
        let events = events_of(&self.service, tenant).await.into_iter().rev();
        events.map(|event| event.action).filter(|action| action.starts_with("keycloak.")).collect()
    }

    /// What is written of a tenant's identity work.
    async fn work(&self, tenant: &Value) -> Option<IdentityWork> {
        let id = id_of(tenant).parse().unwrap();
        self.service.store.read(Scope::Platform).await.unwrap().get_identity_work(id).await.unwrap()
    }

    /// Whose work is due by the service's clock.
    async fn due(&self) -> Vec<TenantId> {
        self.service.store.due_identity_work(self.service.clock.now(), 10).await.unwrap()
    }

    fn organization(&self, alias: &str) -> Option<MockOrganization> {
        self.mock.organizations().into_iter().find(|organization| organization.alias == alias)
    }

    fn account(&self, email: &str) -> Option<MockAccount> {
        self.mock.accounts().into_iter().find(|account| account.email == email)
    }
}

/// Tables that several stores may be opened on, as by several processes.
enum Tables {
    Postgres(String),
    Sqlite(tempfile::TempDir),
}

impl Tables {
    async fn make(kind: StoreKind) -> Self {
        match kind {
            StoreKind::Postgres => Self::Postgres(fresh_database().await),
            StoreKind::Sqlite => Self::Sqlite(tempfile::tempdir().unwrap()),
        }
    }

    async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(folder) => Arc::new(SqliteStore::open(&folder.path().join("registry.sqlite")).await.unwrap()),
            Self::Postgres(url) => {
                let settings = PgSettings { max_connections: 6, ..PgSettings::new(url.clone()) };
                Arc::new(PgStore::connect(settings).await.unwrap())
            }
        }
    }
}

fn invitation(slug: &str) -> Value {
    json!({
        "slug": slug, "name": "Müller & Söhne", "admin_email": format!("jürgen@{slug}.example").replace('ü', "u"),
        "admin_name": "Jürgen von Müller",
    })
}

fn email_of(slug: &str) -> String {
    format!("jurgen@{slug}.example")
}
