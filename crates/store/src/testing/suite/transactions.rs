//! Cases about transactions: all or nothing, and nothing after an error.
//!
//! Invariant of the cases: "nothing" means no tenant, no route, no audit event and no row of the feed.

use std::sync::Arc;
use std::time::Duration;

use domain::{AuditBatch, Nesting};

use super::conflict;
use crate::error::{Conflict, StoreError};
use crate::port::{Scope, Store, TenantFilter, Tx, Unaudited};
use crate::testing::Backend;
use crate::testing::fixtures::{
    audit, claim, create, event, feed_after, first, later, now, route, stored, tenant, tenant_at,
};

/// A transaction that has changed something, and then met a slug that is taken.
async fn failed(store: &Arc<dyn Store>) -> Box<dyn Tx> {
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.insert_tenant(&tenant_at("pending", &["https://pending.example"]), Nesting::Allowed).await.unwrap();
    assert_eq!(conflict(tx.insert_tenant(&tenant("acme"), Nesting::Allowed).await), Conflict::SlugTaken);
    tx
}

/// What is left of `failed`: the tenant that was there before, and its creation.
async fn assert_only_acme(store: &Arc<dyn Store>) {
    let mut view = store.read(Scope::Platform).await.unwrap();
    let tenants = view.list_tenants(&TenantFilter::default(), first(10)).await.unwrap();
    assert_eq!(tenants.iter().map(|tenant| tenant.slug.as_str()).collect::<Vec<_>>(), ["acme"]);
    assert_eq!(view.list_routes(None, 10).await.unwrap(), []);
    assert_eq!(view.list_audit_events(&Default::default(), first(10)).await.unwrap().len(), 1);
    drop(view);
    assert_eq!(feed_after(store, Default::default()).await.unwrap().len(), 1);
}

pub async fn after_an_error_every_later_call_fails_with_finished(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant("acme"));
    create(&store, &acme).await.unwrap();
    let mut tx = failed(&store).await;
    macro_rules! finished {
        ($($method:ident($($argument:expr),*))+) => {
            $(
                let outcome = tx.$method($($argument),*).await;
                assert!(matches!(outcome, Err(StoreError::Finished)), "{}: {outcome:?}", stringify!($method));
            )+
        };
    }
    let (other, host, mine) = (tenant("other"), route("https://a.example"), claim("key"));
    finished! {
        get_tenant(acme.id)
        get_tenant_by_slug("acme")
        list_tenants(&TenantFilter::default(), first(1))
        routes_of_host("a.example")
        list_routes(None, 1)
        list_audit_events(&Default::default(), first(1))
        lock_tenant(acme.id)
        insert_tenant(&other, Nesting::Allowed)
        update_tenant(&acme)
        delete_tenant(&acme, now())
        add_host(acme.id, &host, Nesting::Allowed)
        remove_host(acme.id, &host)
        lock_ended_trials(now(), 1)
        detach_audit_events(1, now())
        reserve(&mine, now())
        complete(&mine, "{}")
        release(&mine)
        purge(now(), 1)
    }
    let outcome = tx.commit(audit("late")).await;
    assert!(matches!(outcome, Err(StoreError::Finished)), "{outcome:?}");
    assert_only_acme(&store).await;
}

pub async fn after_an_error_a_commit_fails_with_finished(backend: &dyn Backend) {
    let store = backend.store();
    create(&store, &tenant("acme")).await.unwrap();
    let outcome = failed(&store).await.commit(audit("late")).await;
    assert!(matches!(outcome, Err(StoreError::Finished)), "{outcome:?}");
    assert_only_acme(&store).await;
}

pub async fn after_an_error_an_unaudited_commit_fails_with_finished(backend: &dyn Backend) {
    let store = backend.store();
    create(&store, &tenant("acme")).await.unwrap();
    for why in [Unaudited::Idempotency, Unaudited::JobBookkeeping, Unaudited::Installation] {
        let outcome = failed(&store).await.commit_unaudited(why).await;
        assert!(matches!(outcome, Err(StoreError::Finished)), "{why:?}: {outcome:?}");
    }
    assert_only_acme(&store).await;
}

pub async fn a_dropped_transaction_is_rolled_back(backend: &dyn Backend) {
    let store = backend.store();
    create(&store, &tenant("acme")).await.unwrap();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.insert_tenant(&tenant_at("other", &["https://a.example"]), Nesting::Allowed).await.unwrap();
    drop(tx);
    // The next one begins on a clean connection.
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(tx.get_tenant_by_slug("other").await.unwrap(), None);
    drop(tx);
    assert_only_acme(&store).await;
}

pub async fn a_transaction_that_failed_leaves_nothing(backend: &dyn Backend) {
    let store = backend.store();
    create(&store, &tenant("acme")).await.unwrap();
    drop(failed(&store).await);
    assert_only_acme(&store).await;
    create(&store, &tenant_at("pending", &["https://pending.example"])).await.unwrap();
}

pub async fn a_commit_that_fails_leaves_neither_change_nor_feed_row(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant("acme"));
    let known = event("tenant.created").about(&acme);
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.insert_tenant(&acme, Nesting::Allowed).await.unwrap();
    tx.commit(AuditBatch::of(known.clone())).await.unwrap();

    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.insert_tenant(&tenant_at("other", &["https://a.example"]), Nesting::Allowed).await.unwrap();
    let batch = AuditBatch::from_events(vec![event("first"), known, event("third")]).unwrap();
    let outcome = tx.commit(batch).await;
    assert!(matches!(outcome, Err(StoreError::Refused(_))), "{outcome:?}");
    assert_only_acme(&store).await;
}

pub async fn changes_are_not_committed_without_audit(backend: &dyn Backend) {
    let store = backend.store();
    create(&store, &tenant("acme")).await.unwrap();
    for why in [Unaudited::Idempotency, Unaudited::JobBookkeeping] {
        let mut tx = store.begin(Scope::Platform).await.unwrap();
        tx.insert_tenant(&tenant_at("other", &["https://a.example"]), Nesting::Allowed).await.unwrap();
        tx.commit_unaudited(why).await.unwrap_err();
    }
    assert_only_acme(&store).await;
}

pub async fn a_view_sees_nothing_uncommitted(backend: &dyn Backend) {
    let (store, other) = (backend.store(), backend.reopen().await);
    let acme = tenant_at("acme", &["https://a.example"]);
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.insert_tenant(&acme, Nesting::Allowed).await.unwrap();
    for store in [&store, &other] {
        let mut view = store.read(Scope::Platform).await.unwrap();
        assert_eq!(view.get_tenant(acme.id).await.unwrap(), None);
        assert_eq!(view.list_routes(None, 1).await.unwrap(), []);
    }
    assert_eq!(store.changes(Default::default(), 10).await.unwrap().changes, []);
    tx.commit(audit("tenant.created")).await.unwrap();
    assert_eq!(stored(&other, &acme).await.unwrap(), Some(acme));
}

pub async fn a_view_stays_as_it_was_at_its_first_read(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant_at("acme", &["https://a.example"]));
    create(&store, &acme).await.unwrap();
    let mut view = store.read(Scope::Platform).await.unwrap();
    assert_eq!(view.get_tenant(acme.id).await.unwrap().as_ref(), Some(&acme));
    create(&store, &tenant_at("other", &["https://b.example"])).await.unwrap();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.delete_tenant(&acme, now()).await.unwrap();
    tx.commit(audit("tenant.deleted")).await.unwrap();
    assert_eq!(view.list_tenants(&TenantFilter::default(), first(9)).await.unwrap(), std::slice::from_ref(&acme));
    assert_eq!(view.list_routes(None, 9).await.unwrap().len(), 1);
    assert_eq!(view.list_audit_events(&Default::default(), first(9)).await.unwrap().len(), 1);
    drop(view);
    assert_eq!(stored(&store, &acme).await.unwrap(), None);
}

pub async fn reads_go_on_while_a_writer_is_open(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant("acme"));
    create(&store, &acme).await.unwrap();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    let mut changed = acme.clone();
    changed.activate(later(1)).unwrap();
    tx.update_tenant(&changed).await.unwrap();
    for _ in 0..20 {
        let read = tokio::time::timeout(Duration::from_secs(5), stored(&store, &acme)).await;
        assert_eq!(read.expect("a read does not wait for a writer").unwrap(), Some(acme.clone()));
    }
    tx.commit(audit("tenant.activated")).await.unwrap();
    assert_eq!(stored(&store, &acme).await.unwrap(), Some(changed));
}

pub async fn a_transaction_reads_its_own_writes(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant_at("acme", &["https://a.example"]));
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.insert_tenant(&acme, Nesting::Allowed).await.unwrap();
    assert_eq!(tx.get_tenant_by_slug("acme").await.unwrap(), Some(acme.clone()));
    assert_eq!(tx.routes_of_host("a.example").await.unwrap().len(), 1);
    tx.remove_host(acme.id, &acme.hosts[0]).await.unwrap();
    assert_eq!(tx.lock_tenant(acme.id).await.unwrap().unwrap().hosts, []);
}

pub async fn more_transactions_than_connections_all_end(backend: &dyn Backend) {
    let store = backend.store();
    create(&store, &tenant("acme")).await.unwrap();
    let mut tasks = Vec::new();
    for number in 0..60 {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            let mut view = store.read(Scope::Platform).await?;
            view.get_tenant_by_slug("acme").await?;
            drop(view);
            let mut tx = store.begin(Scope::Platform).await?;
            tx.reserve(&claim(&number.to_string()), now()).await?;
            // Some commit, some are dropped: no connection may come back with a transaction on it.
            if number % 3 == 0 { Ok(()) } else { tx.commit_unaudited(Unaudited::Idempotency).await }
        }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(tx.purge(later(4_000), 100).await.unwrap(), 40);
}
