//! Cases about what a tenant's transaction sees and may do: itself, and nothing beside it.
//!
//! On PostgreSQL row-level security and grants stand behind it, on SQLite the store alone. Invariant of the cases: both
//! answer alike, so that what works in development works in production.

use domain::{AuditBatch, Nesting, Tenant, TenantId};

use crate::error::StoreError;
use crate::port::{AuditFilter, ReadTx, Scope, TenantFilter};
use crate::testing::Backend;
use crate::testing::fixtures::{
    audit, catalog_request, claim, create, entitlement, event, feed_after, first, later, next_uuid, now, offer,
    product, route, stored, tenant_at,
};

async fn two(backend: &dyn Backend) -> (Tenant, Tenant) {
    let (mine, other) = (tenant_at("mine", &["https://mine.example"]), tenant_at("other", &["https://other.example"]));
    create(&backend.store(), &mine).await.unwrap();
    create(&backend.store(), &other).await.unwrap();
    (mine, other)
}

async fn check_sees(view: &mut (impl ReadTx + ?Sized), mine: &Tenant, other: &Tenant) {
    assert_eq!(view.get_tenant(mine.id).await.unwrap().as_ref(), Some(mine));
    assert_eq!(view.get_tenant_by_slug("mine").await.unwrap().as_ref(), Some(mine));
    assert_eq!(view.list_tenants(&TenantFilter::default(), first(9)).await.unwrap(), std::slice::from_ref(mine));
    assert_eq!(view.routes_of_host("mine.example").await.unwrap().len(), 1);
    assert_eq!(view.list_routes(None, 9).await.unwrap().len(), 1);
    let events = view.list_audit_events(&AuditFilter::default(), first(9)).await.unwrap();
    assert_eq!(events.iter().map(|event| event.group).collect::<Vec<_>>(), [Some(mine.id)]);

    assert_eq!(view.get_tenant(other.id).await.unwrap(), None);
    assert_eq!(view.get_tenant_by_slug("other").await.unwrap(), None);
    let filter = TenantFilter { id: Some(other.id), ..TenantFilter::default() };
    assert_eq!(view.list_tenants(&filter, first(9)).await.unwrap(), []);
    assert_eq!(view.routes_of_host("other.example").await.unwrap(), []);
    for filter in [
        AuditFilter { tenant: Some(other.id), ..AuditFilter::default() },
        AuditFilter { former_tenant: Some(other.id), ..AuditFilter::default() },
    ] {
        assert_eq!(view.list_audit_events(&filter, first(9)).await.unwrap(), []);
    }
}

pub async fn a_tenant_sees_only_itself(backend: &dyn Backend) {
    let (mine, other) = two(backend).await;
    let store = backend.store();
    store.begin(Scope::Platform).await.unwrap().commit(audit("of.nobody")).await.unwrap();
    check_sees(&mut *store.read(Scope::Tenant(mine.id)).await.unwrap(), &mine, &other).await;
    check_sees(&mut *store.begin(Scope::Tenant(mine.id)).await.unwrap(), &mine, &other).await;
    // A connection that served one tenant serves the next, and nobody's.
    for _ in 0..20 {
        let seen = async |id| {
            let mut view = store.read(Scope::Tenant(id)).await.unwrap();
            let tenants = view.list_tenants(&TenantFilter::default(), first(9)).await.unwrap();
            tenants.into_iter().map(|tenant| tenant.id).collect::<Vec<_>>()
        };
        assert_eq!(seen(mine.id).await, [mine.id]);
        assert_eq!(seen(other.id).await, [other.id]);
    }
}

pub async fn a_tenant_that_is_not_there_sees_nothing(backend: &dyn Backend) {
    two(backend).await;
    let mut view = backend.store().read(Scope::Tenant(TenantId(next_uuid()))).await.unwrap();
    assert_eq!(view.list_tenants(&TenantFilter::default(), first(9)).await.unwrap(), []);
    assert_eq!(view.list_routes(None, 9).await.unwrap(), []);
    assert_eq!(view.list_audit_events(&AuditFilter::default(), first(9)).await.unwrap(), []);
}

/// The registry's rows are the platform's to write: so far, no operation lets a tenant write them.
pub async fn a_tenant_changes_nothing(backend: &dyn Backend) {
    let (mine, other) = two(backend).await;
    let store = backend.store();
    offer(&store, &["crm"]).await.unwrap();
    let before = feed_after(&store, Default::default()).await.unwrap();
    for tenant in [&mine, &other] {
        macro_rules! refused {
            ($($method:ident($($argument:expr),*))+) => {
                $(
                    let mut tx = store.begin(Scope::Tenant(mine.id)).await.unwrap();
                    let outcome = tx.$method($($argument),*).await;
                    assert!(matches!(outcome, Err(StoreError::Refused(_))), "{}: {outcome:?}", stringify!($method));
                )+
            };
        }
        let changed = Tenant { version: 2, name: "changed".to_owned(), ..tenant.clone() };
        let key = claim("key");
        let request = catalog_request(tenant, "crm");
        refused! {
            insert_tenant(&tenant_at("third", &[]), Nesting::Allowed)
            update_tenant(&changed)
            delete_tenant(tenant, now())
            add_host(tenant.id, &route("https://more.example"), Nesting::Allowed)
            remove_host(tenant.id, &tenant.hosts[0])
            lock_tenant(tenant.id)
            lock_ended_trials(later(1), 9)
            detach_audit_events(9, now())
            put_entitlement(&entitlement(tenant, "crm"))
            use_trial(tenant.id, "crm", now())
            hold_product("crm")
            lock_product("crm")
            insert_product(&product("cms"))
            update_product(&product("crm"))
            delete_product("crm")
            insert_catalog_request(&request)
            lock_catalog_request(request.id)
            decide_catalog_request(&request)
            reserve(&key, now())
            complete(&key, "{}")
            release(&key)
            purge(now(), 9)
        }
        assert_eq!(stored(&store, tenant).await.unwrap().as_ref(), Some(tenant));
    }
    assert_eq!(feed_after(&store, Default::default()).await.unwrap(), before);
}

pub async fn a_tenant_appends_its_own_events_only(backend: &dyn Backend) {
    let (mine, other) = two(backend).await;
    let store = backend.store();
    let begin = async || store.begin(Scope::Tenant(mine.id)).await.unwrap();
    begin().await.commit(AuditBatch::of(event("ping").about(&mine))).await.unwrap();
    for foreign in [event("ping").about(&other), event("ping")] {
        let batch = AuditBatch::from_events(vec![event("ping").about(&mine), foreign]).unwrap();
        let outcome = begin().await.commit(batch).await;
        assert!(matches!(outcome, Err(StoreError::Refused(_))), "{outcome:?}");
    }
    let filter =
        AuditFilter { action: Some(domain::ActionPattern::Exact("ping".to_owned())), ..AuditFilter::default() };
    let events = store.read(Scope::Platform).await.unwrap().list_audit_events(&filter, first(9)).await.unwrap();
    assert_eq!(events.iter().map(|event| event.group).collect::<Vec<_>>(), [Some(mine.id)]);
}
