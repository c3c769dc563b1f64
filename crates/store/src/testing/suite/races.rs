//! Cases about two that want one thing at one moment.
//!
//! On SQLite the second `begin` waits for the first transaction, on PostgreSQL a statement does: the cases hold for both.
//! Invariant of the cases: somebody wins, and who loses is told of a conflict, never of an internal error.

use std::sync::Arc;

use domain::{Nesting, Tenant};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use super::conflict;
use crate::error::{Conflict, Result, StoreError};
use crate::port::{Scope, Tx};
use crate::testing::Backend;
use crate::testing::fixtures::{
    audit, create, create_nested, feed_after, first, frozen, now, route, stored, tenant, tenant_at,
};

/// The first has written and not yet ended when the second comes; `end` ends the first.
async fn second_outcome(
    backend: &dyn Backend,
    first: &Tenant,
    second: &Tenant,
    end: impl AsyncFnOnce(Box<dyn Tx>),
) -> Result<()> {
    let store = backend.store();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.insert_tenant(first, Nesting::Refused).await.unwrap();
    let (other, second) = (backend.reopen().await, second.clone());
    let waiting: JoinHandle<Result<()>> =
        tokio::spawn(async move { create_nested(&other, &second, Nesting::Refused).await });
    backend.until_somebody_waits().await;
    end(tx).await;
    waiting.await.unwrap()
}

async fn commits(tx: Box<dyn Tx>) {
    tx.commit(audit("first")).await.unwrap();
}

async fn rolls_back(tx: Box<dyn Tx>) {
    drop(tx);
}

pub async fn of_two_that_want_one_slug_the_later_loses(backend: &dyn Backend) {
    let (one, two) = (tenant("acme"), tenant("acme"));
    // Whichever of them was made earlier: who comes first wins.
    let outcome = second_outcome(backend, &one, &two, commits).await;
    assert_eq!(conflict(outcome), Conflict::SlugTaken);
    let (three, four) = (tenant("globex"), tenant("globex"));
    let outcome = second_outcome(backend, &four, &three, commits).await;
    assert_eq!(conflict(outcome), Conflict::SlugTaken);
    let store = backend.store();
    for (tenant, is_there) in [(one, true), (two, false), (three, false), (four, true)] {
        assert_eq!(stored(&store, &tenant).await.unwrap().is_some(), is_there);
    }
}

pub async fn a_slug_that_was_rolled_back_is_free(backend: &dyn Backend) {
    let (one, two) = (tenant("acme"), tenant("acme"));
    second_outcome(backend, &one, &two, rolls_back).await.unwrap();
    assert_eq!(stored(&backend.store(), &two).await.unwrap(), Some(two));
}

pub async fn of_two_that_want_one_host_the_later_loses(backend: &dyn Backend) {
    let url = "https://a.example/x";
    let (one, two) = (tenant_at("one", &[url]), tenant_at("two", &[url]));
    let outcome = second_outcome(backend, &one, &two, commits).await;
    assert_eq!(conflict(outcome), Conflict::HostTaken { host: "a.example".to_owned(), prefix: "/x".to_owned() });
    let store = backend.store();
    let (three, four) = (tenant_at("three", &["https://b.example"]), tenant_at("four", &["https://b.example"]));
    let outcome = second_outcome(backend, &four, &three, commits).await;
    assert_eq!(conflict(outcome), Conflict::HostTaken { host: "b.example".to_owned(), prefix: "/".to_owned() });
    assert_eq!(stored(&store, &one).await.unwrap(), Some(one));
    assert_eq!(stored(&store, &two).await.unwrap(), None);
}

pub async fn a_host_that_was_rolled_back_is_free(backend: &dyn Backend) {
    let (one, two) = (tenant_at("one", &["https://a.example"]), tenant_at("two", &["https://a.example"]));
    second_outcome(backend, &one, &two, rolls_back).await.unwrap();
    assert_eq!(stored(&backend.store(), &two).await.unwrap(), Some(two));
}

/// Runs one creation per tenant at one moment, some of them from another process' handle.
async fn at_once(backend: &dyn Backend, tenants: &[Tenant]) -> Vec<Result<()>> {
    let barrier = Arc::new(Barrier::new(tenants.len()));
    let handles = [backend.store(), backend.reopen().await];
    let mut tasks = Vec::new();
    for (place, tenant) in tenants.iter().enumerate() {
        let (store, tenant, barrier) = (Arc::clone(&handles[place % 2]), tenant.clone(), Arc::clone(&barrier));
        tasks.push(tokio::spawn(async move {
            barrier.wait().await;
            create_nested(&store, &tenant, Nesting::Refused).await
        }));
    }
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

#[track_caller]
fn one_won(outcomes: &[Result<()>]) {
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    let lost = |outcome: &&Result<()>| matches!(outcome, Err(StoreError::Conflict(_)));
    assert_eq!(outcomes.iter().filter(lost).count(), outcomes.len() - 1, "{outcomes:?}");
}

pub async fn of_many_that_want_one_slug_one_wins(backend: &dyn Backend) {
    let tenants: Vec<Tenant> = (0..8).map(|_| tenant("acme")).collect();
    one_won(&at_once(backend, &tenants).await);
    assert_eq!(feed_after(&backend.store(), Default::default()).await.unwrap().len(), 1);
}

pub async fn of_two_that_want_overlapping_prefixes_one_wins(backend: &dyn Backend) {
    for round in 0..10 {
        let url = |rest: &str| format!("https://round-{round}.example{rest}");
        let wide = tenant_at(&format!("wide-{round}"), &[&url("")]);
        let narrow = tenant_at(&format!("narrow-{round}"), &[&url("/x/y")]);
        one_won(&at_once(backend, &[wide, narrow]).await);
        let star = tenant_at(&format!("star-{round}"), &[&format!("https://*.under-{round}.example")]);
        let under = tenant_at(&format!("under-{round}"), &[&format!("https://a.under-{round}.example")]);
        let outcomes = at_once(backend, &[star, under]).await;
        // A wildcard beside a host that was there before is no overlap: the host wins over it.
        assert!(outcomes[0].is_ok(), "{outcomes:?}");
        assert!(matches!(outcomes[1], Ok(()) | Err(StoreError::Conflict(_))), "{outcomes:?}");
    }
}

pub async fn two_that_want_the_same_hosts_in_opposite_orders_both_end(backend: &dyn Backend) {
    for round in 0..10 {
        let mut urls: Vec<String> =
            (0..6).map(|host| format!("https://h{host}.r{round}.z{}.example", host % 3)).collect();
        let forth = tenant_at(&format!("forth-{round}"), &urls.iter().map(String::as_str).collect::<Vec<_>>());
        urls.reverse();
        let back = tenant_at(&format!("back-{round}"), &urls.iter().map(String::as_str).collect::<Vec<_>>());
        one_won(&at_once(backend, &[forth, back]).await);
    }
}

/// Whoever deletes a tenant tells the feed of every host that `lock_tenant` showed. One that is missing there would be
/// routed for ever.
pub async fn a_locked_tenant_shows_the_hosts_committed_while_it_waited(backend: &dyn Backend) {
    let (store, mut acme) = (backend.store(), frozen("acme", &["https://a.example"]));
    create(&store, &acme).await.unwrap();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.lock_tenant(acme.id).await.unwrap().unwrap();
    let other = backend.reopen().await;
    let id = acme.id;
    let waiting = tokio::spawn(async move {
        let mut tx = other.begin(Scope::Platform).await?;
        tx.lock_tenant(id).await
    });
    backend.until_somebody_waits().await;
    let added = route("https://b.example");
    acme.add_host(&added, now()).unwrap();
    tx.update_tenant(&acme).await.unwrap();
    tx.add_host(acme.id, &added, Nesting::Refused).await.unwrap();
    tx.commit(audit("host.added")).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), Some(acme));
}

pub async fn concurrent_updates_of_a_locked_tenant_are_all_kept(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant("acme"));
    create(&store, &acme).await.unwrap();
    let handles = [backend.store(), backend.reopen().await];
    let mut tasks = Vec::new();
    for number in 0..10 {
        let (store, id) = (Arc::clone(&handles[number % 2]), acme.id);
        tasks.push(tokio::spawn(async move {
            let mut tx = store.begin(Scope::Platform).await?;
            let mut tenant = tx.lock_tenant(id).await?.unwrap();
            let added = route(&format!("https://h{number}.example"));
            tenant.add_host(&added, now()).unwrap();
            tenant.metadata.insert(number.to_string(), String::new());
            tx.update_tenant(&tenant).await?;
            tx.add_host(id, &added, Nesting::Refused).await?;
            tx.commit(audit("host.added")).await
        }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let tenant = stored(&store, &acme).await.unwrap().unwrap();
    assert_eq!((tenant.version, tenant.hosts.len(), tenant.metadata.len()), (11, 10, 10));
    let events = store.read(Scope::Platform).await.unwrap().list_audit_events(&Default::default(), first(100)).await;
    assert_eq!(events.unwrap().len(), 11);
}
