//! Cases about what goes with a tenant, and what stays.
//!
//! Invariant of the cases: audit events stay for ever; they lose their group at once for readers, and in batches in the
//! table.

use std::sync::Arc;

use domain::{AuditBatch, AuditEvent, Tenant, TenantId};

use super::conflict;
use crate::error::{Conflict, StoreError};
use crate::port::{AuditFilter, Page, Scope, Store, Unaudited};
use crate::testing::Backend;
use crate::testing::fixtures::{claim, create, delete, event, first, frozen, later, now, tenant};

async fn write_events(store: &Arc<dyn Store>, tenant: &Tenant, count: usize) {
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    // Something to commit, which is no change.
    tx.reserve(&claim(&format!("events of {}", tenant.slug)), now()).await.unwrap();
    let events = (0..count).map(|_| event("something.happened").about(tenant)).collect();
    tx.commit(AuditBatch::from_events(events).unwrap()).await.unwrap();
}

async fn events(store: &Arc<dyn Store>, filter: &AuditFilter) -> Vec<AuditEvent> {
    store.read(Scope::Platform).await.unwrap().list_audit_events(filter, first(100)).await.unwrap()
}

fn of(tenant: TenantId) -> AuditFilter {
    AuditFilter { tenant: Some(tenant), ..AuditFilter::default() }
}

fn formerly_of(tenant: TenantId) -> AuditFilter {
    AuditFilter { former_tenant: Some(tenant), ..AuditFilter::default() }
}

async fn detach(store: &Arc<dyn Store>, batch: usize) -> u64 {
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    let detached = tx.detach_audit_events(batch, later(9)).await.unwrap();
    tx.commit_unaudited(Unaudited::JobBookkeeping).await.unwrap();
    detached
}

pub async fn children_go_with_their_parent(backend: &dyn Backend) {
    let store = backend.store();
    let (acme, other) =
        (frozen("acme", &["https://a.example", "https://b.example/x"]), frozen("other", &["https://c.example"]));
    create(&store, &acme).await.unwrap();
    create(&store, &other).await.unwrap();
    delete(&store, &acme).await.unwrap();
    let mut view = store.read(Scope::Platform).await.unwrap();
    assert_eq!(view.get_tenant(acme.id).await.unwrap(), None);
    assert_eq!(view.get_tenant_by_slug("acme").await.unwrap(), None);
    let routes = view.list_routes(None, 10).await.unwrap();
    assert_eq!(routes.iter().map(|route| route.route.host.as_str()).collect::<Vec<_>>(), ["c.example"]);
}

pub async fn events_of_a_deleted_tenant_lose_their_group_at_once(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), frozen("acme", &[]));
    create(&store, &acme).await.unwrap();
    let before = events(&store, &of(acme.id)).await;
    assert_eq!((before[0].group, before[0].group_name.as_deref()), (Some(acme.id), Some("The acme")));
    delete(&store, &acme).await.unwrap();
    assert_eq!(events(&store, &of(acme.id)).await, []);
    let all = events(&store, &AuditFilter::default()).await;
    assert_eq!(all.iter().map(|event| event.action.as_str()).collect::<Vec<_>>(), ["tenant.deleted", "tenant.created"]);
    assert!(all.iter().all(|event| event.group.is_none() && event.group_name.is_none()), "{all:?}");
    let expected = AuditEvent { group: None, group_name: None, ..before[0].clone() };
    assert_eq!(all[1], expected, "and nothing else of them changes");
}

pub async fn events_are_detached_in_batches(backend: &dyn Backend) {
    let (store, acme, globex) = (backend.store(), frozen("acme", &[]), frozen("globex", &[]));
    create(&store, &acme).await.unwrap();
    write_events(&store, &acme, 5).await;
    create(&store, &globex).await.unwrap();
    assert_eq!(detach(&store, 3).await, 0, "nobody is gone");
    delete(&store, &acme).await.unwrap();
    delete(&store, &globex).await.unwrap();
    // Seven events of the one and two of the other, and each tenant is done once nothing is left of it.
    let mut calls = Vec::new();
    loop {
        let detached = detach(&store, 3).await;
        calls.push(detached);
        assert!(detached <= 3 && calls.len() < 20, "{calls:?}");
        if detached == 0 {
            break;
        }
    }
    assert!(calls.iter().sum::<u64>() >= 9, "{calls:?}");
    assert_eq!(detach(&store, 3).await, 0, "and stays done");
    let untouched = backend.execute("UPDATE audit_events SET tenant_id = NULL WHERE tenant_id IS NOT NULL").await;
    // SQLite answers with a count, PostgreSQL refuses the statement: its rows are looked at in `postgres_roles`.
    assert!(matches!(untouched, Ok(0) | Err(_)), "{untouched:?}");
    assert_eq!(events(&store, &formerly_of(acme.id)).await.len(), 7);
    assert_eq!(events(&store, &formerly_of(globex.id)).await.len(), 2);
}

pub async fn detaching_leaves_the_events_of_others_alone(backend: &dyn Backend) {
    let (store, acme, other) = (backend.store(), frozen("acme", &[]), tenant("other"));
    create(&store, &acme).await.unwrap();
    create(&store, &other).await.unwrap();
    write_events(&store, &other, 3).await;
    let before = events(&store, &of(other.id)).await;
    delete(&store, &acme).await.unwrap();
    while detach(&store, 100).await > 0 {}
    assert_eq!(events(&store, &of(other.id)).await, before);
    assert_eq!(before.len(), 4);
}

pub async fn events_of_a_former_tenant_are_found_by_it(backend: &dyn Backend) {
    let (store, acme, other) = (backend.store(), frozen("acme", &[]), tenant("other"));
    create(&store, &acme).await.unwrap();
    create(&store, &other).await.unwrap();
    assert_eq!(events(&store, &formerly_of(acme.id)).await, [], "it is not former yet");
    delete(&store, &acme).await.unwrap();
    assert_eq!(events(&store, &formerly_of(acme.id)).await.len(), 2, "before they are detached");
    while detach(&store, 1).await > 0 {}
    assert_eq!(events(&store, &formerly_of(acme.id)).await.len(), 2, "and after");
    assert_eq!(events(&store, &of(acme.id)).await, []);
    assert_eq!(events(&store, &formerly_of(other.id)).await, []);
}

pub async fn pages_of_a_former_tenant_are_whole_while_it_is_being_detached(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), frozen("acme", &[]));
    create(&store, &acme).await.unwrap();
    write_events(&store, &acme, 20).await;
    let before = events(&store, &of(acme.id)).await;
    delete(&store, &acme).await.unwrap();
    for _ in 0..3 {
        // Some of both kinds, and among them events of one time.
        detach(&store, 4).await;
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let mut view = store.read(Scope::Platform).await.unwrap();
            let page = Page { after, limit: 5 };
            let page = view.list_audit_events(&formerly_of(acme.id), page).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.received, last.id));
            seen.extend(page.iter().map(|event| event.id));
        }
        let mut expected: Vec<_> = before.iter().map(|event| event.id).collect();
        expected.insert(0, events(&store, &AuditFilter::default()).await[0].id);
        assert_eq!(seen, expected);
    }
    let mut view = store.read(Scope::Platform).await.unwrap();
    assert!(view.is_former_tenant(acme.id).await.unwrap());
    assert!(!view.is_former_tenant(tenant("never").id).await.unwrap());
}

pub async fn deleting_twice_is_refused(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), frozen("acme", &[]));
    create(&store, &acme).await.unwrap();
    delete(&store, &acme).await.unwrap();
    let again = delete(&store, &acme).await;
    assert!(matches!(again, Err(StoreError::Conflict(Conflict::Stale) | StoreError::Refused(_))), "{again:?}");
    assert_eq!(conflict(delete(&store, &tenant("never")).await), Conflict::Stale);
    assert_eq!(events(&store, &AuditFilter::default()).await.len(), 2);
}
