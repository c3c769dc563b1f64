//! Cases about events that others publish, and the ids that they give them.
//!
//! Invariant of the cases: an external id names one event of its tenant, whoever comes first and however many come at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{ActionPattern, AuditEvent, EventId, Tenant};

use crate::error::{Result, StoreError};
use crate::port::{AuditFilter, Scope, Store, Unaudited};
use crate::testing::Backend;
use crate::testing::fixtures::{create, delete, event, feed_after, first, frozen, later, next_uuid, now, tenant};

async fn publish(store: &Arc<dyn Store>, events: &[AuditEvent]) -> Result<Vec<EventId>> {
    let mut tx = store.begin(Scope::Platform).await?;
    let ids = tx.publish_audit_events(events).await?;
    tx.commit_unaudited(Unaudited::Publishing).await?;
    Ok(ids)
}

/// An event that its sender calls `external`.
fn called(external: &str, tenant: &Tenant) -> AuditEvent {
    AuditEvent { external_id: Some(external.to_owned()), ..event("published").about(tenant) }
}

/// The ids of the events that were published, oldest first.
async fn stored(store: &Arc<dyn Store>) -> Vec<EventId> {
    let mut view = store.read(Scope::Platform).await.unwrap();
    let mut events = view.list_audit_events(&AuditFilter::default(), first(10_000)).await.unwrap();
    events.retain(|event| event.action == "published");
    events.iter().rev().map(|event| event.id).collect()
}

pub async fn published_events_come_back_with_their_ids_in_order(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant("acme"));
    create(&store, &acme).await.unwrap();
    let mut events = Vec::new();
    for n in 0..1_500 {
        let event = if n % 3 == 0 { called(&format!("{n}"), &acme) } else { event("published") };
        events.push(AuditEvent { received: later(n), ..event });
    }
    let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
    assert_eq!(publish(&store, &events).await.unwrap(), ids);
    assert_eq!(stored(&store).await, ids);
    assert_eq!(publish(&store, &[called("0", &acme)]).await.unwrap(), ids[..1]);
    assert_eq!(publish(&store, &[]).await.unwrap(), []);
}

pub async fn an_external_id_names_one_event_of_its_tenant(backend: &dyn Backend) {
    let (store, acme, other) = (backend.store(), tenant("acme"), tenant("other"));
    create(&store, &acme).await.unwrap();
    create(&store, &other).await.unwrap();
    let (one, again, others, capital) =
        (called("e-1", &acme), called("e-1", &acme), called("e-1", &other), called("E-1", &acme));
    assert_eq!(publish(&store, std::slice::from_ref(&one)).await.unwrap(), [one.id]);
    assert_eq!(publish(&store, &[again]).await.unwrap(), [one.id]);
    let mixed = [called("e-2", &acme), called("e-1", &acme), others, capital];
    let ids = publish(&store, &mixed).await.unwrap();
    assert_eq!(ids, [mixed[0].id, one.id, mixed[2].id, mixed[3].id]);
    let stored: BTreeSet<EventId> = stored(&store).await.into_iter().collect();
    assert_eq!(stored, BTreeSet::from([one.id, mixed[0].id, mixed[2].id, mixed[3].id]));
}

pub async fn an_external_id_twice_in_one_batch_is_one_event(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant("acme"));
    create(&store, &acme).await.unwrap();
    let events = [called("b", &acme), called("a", &acme), called("b", &acme), called("b", &acme)];
    let expected = [events[0].id, events[1].id, events[0].id, events[0].id];
    assert_eq!(publish(&store, &events).await.unwrap(), expected);
    assert_eq!(stored(&store).await, [events[0].id, events[1].id]);
}

pub async fn events_of_nobody_are_not_told_apart(backend: &dyn Backend) {
    let store = backend.store();
    let of_nobody = || AuditEvent { external_id: Some("e".to_owned()), ..event("published") };
    let events = [of_nobody(), of_nobody()];
    assert_eq!(publish(&store, &events).await.unwrap(), [events[0].id, events[1].id]);
    publish(&store, &[of_nobody()]).await.unwrap();
    assert_eq!(stored(&store).await.len(), 3);
}

pub async fn of_two_that_publish_one_external_id_one_is_stored(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant("acme"));
    create(&store, &acme).await.unwrap();
    for round in 0..10 {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (store, event) = (backend.store(), called(&format!("raced-{round}"), &acme));
                tokio::spawn(async move { publish(&store, &[event]).await.unwrap()[0] })
            })
            .collect();
        let mut ids = Vec::new();
        for task in tasks {
            ids.push(task.await.unwrap());
        }
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(stored(&store).await.len(), round + 1);
    }
}

pub async fn two_that_publish_the_same_ids_in_opposite_orders_both_end(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant("acme"));
    create(&store, &acme).await.unwrap();
    for round in 0..5 {
        let batch = |reversed: bool| {
            let mut events: Vec<_> = (0..100).map(|n| called(&format!("{round}-{n}"), &acme)).collect();
            if reversed {
                events.reverse();
            }
            let store = backend.store();
            tokio::spawn(async move { publish(&store, &events).await.unwrap() })
        };
        let (forth, back) = (batch(false), batch(true));
        let (forth, mut back) = (forth.await.unwrap(), back.await.unwrap());
        back.reverse();
        assert_eq!(forth, back, "each is told the same ids");
        assert_eq!(stored(&store).await.len(), 100 * (round + 1));
    }
}

pub async fn what_is_rolled_back_claims_no_external_id(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant("acme"));
    create(&store, &acme).await.unwrap();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.publish_audit_events(&[called("e", &acme)]).await.unwrap();
    drop(tx);
    // All or nothing: the second cannot be stored.
    let bad = AuditEvent { actor: None, ..event("published") };
    let outcome = publish(&store, &[called("e", &acme), bad]).await;
    assert!(matches!(outcome, Err(StoreError::Refused(_))), "{outcome:?}");
    assert_eq!(stored(&store).await, []);
    let last = called("e", &acme);
    assert_eq!(publish(&store, std::slice::from_ref(&last)).await.unwrap(), [last.id]);
    assert_eq!(stored(&store).await, [last.id]);
    let mut tx = store.begin(Scope::Tenant(acme.id)).await.unwrap();
    let outcome = tx.publish_audit_events(&[called("t", &acme)]).await;
    assert!(matches!(outcome, Err(StoreError::Refused(_))), "{outcome:?}");
}

pub async fn external_ids_cannot_be_taken_back_through_sql(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant("acme"));
    create(&store, &acme).await.unwrap();
    let kept = called("e", &acme);
    publish(&store, std::slice::from_ref(&kept)).await.unwrap();
    // SQLite refuses; PostgreSQL's role sees no row that it may delete.
    let outcome = backend.execute("DELETE FROM audit_external_ids").await;
    assert!(matches!(outcome, Ok(0) | Err(_)), "{outcome:?}");
    let outcome = backend.execute("UPDATE audit_external_ids SET external_id = 'x'").await;
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!(publish(&store, &[called("e", &acme)]).await.unwrap(), [kept.id]);
}

pub async fn external_ids_of_a_deleted_tenant_go_in_batches(backend: &dyn Backend) {
    let (store, acme, other) = (backend.store(), frozen("acme", &[]), tenant("other"));
    create(&store, &acme).await.unwrap();
    create(&store, &other).await.unwrap();
    let events: Vec<_> = (0..10).map(|n| called(&format!("{n}"), &acme)).collect();
    publish(&store, &events).await.unwrap();
    publish(&store, &[called("1", &other)]).await.unwrap();
    delete(&store, &acme).await.unwrap();
    let mut calls = 0;
    loop {
        let mut tx = store.begin(Scope::Platform).await.unwrap();
        let done = tx.detach_audit_events(4, now()).await.unwrap();
        tx.commit_unaudited(Unaudited::JobBookkeeping).await.unwrap();
        assert!(done <= 4, "{done}");
        if done == 0 {
            break;
        }
        calls += 1;
    }
    assert_eq!(calls, 3 + 3 + 1, "twelve events, ten ids, and that it is done");
    let left = backend.execute("DELETE FROM audit_external_ids WHERE external_id <> '1'").await;
    assert!(matches!(left, Ok(0)), "{left:?}");
    assert_eq!(stored(&store).await.len(), 11, "the events stay");
    // The other's is kept.
    let again = called("1", &other);
    assert_ne!(publish(&store, std::slice::from_ref(&again)).await.unwrap(), [again.id]);
}

pub async fn making_room_ahead_is_repeatable(backend: &dyn Backend) {
    let store = backend.store();
    let before = AuditEvent { id: EventId(next_uuid()), ..event("published") };
    publish(&store, std::slice::from_ref(&before)).await.unwrap();
    for seconds in [0, 0, 86_400 * 31, -86_400 * 400, 86_400 * 366 * 50] {
        let mut tx = store.begin(Scope::Platform).await.unwrap();
        tx.ensure_audit_partitions(later(seconds)).await.unwrap();
        tx.commit_unaudited(Unaudited::JobBookkeeping).await.unwrap();
    }
    assert_eq!(stored(&store).await, [before.id], "what was there before is there still");
    let after = AuditEvent { received: later(86_400 * 40), ..event("published") };
    publish(&store, std::slice::from_ref(&after)).await.unwrap();
    assert_eq!(stored(&store).await, [before.id, after.id]);
}

/// Publishes as one statement may, and says what is stored then.
async fn at_once(store: &Arc<dyn Store>, events: &[AuditEvent]) -> (Result<()>, Vec<EventId>) {
    (store.publisher().publish(events).await, stored(store).await)
}

pub async fn events_published_at_once_are_committed_and_whole(backend: &dyn Backend) {
    let (store, other, acme) = (backend.store(), backend.reopen().await, tenant("acme"));
    create(&store, &acme).await.unwrap();
    let feed = feed_after(&store, Default::default()).await.unwrap();
    let called = AuditEvent { external_id: Some("nobody's".to_owned()), received: later(2), ..event("published") };
    let mut events =
        vec![called, AuditEvent { received: later(1), ..event("published").about(&acme) }, event("published")];
    store.publisher().publish(&events).await.unwrap();
    let filter = AuditFilter { action: Some(ActionPattern::Exact("published".to_owned())), ..AuditFilter::default() };
    let mut view = other.read(Scope::Platform).await.unwrap();
    assert_eq!(view.list_audit_events(&filter, first(9)).await.unwrap(), events, "newest first, with its group");
    drop(view);
    events.truncate(0);
    store.publisher().publish(&events).await.unwrap();
    assert_eq!(stored(&other).await.len(), 3);
    assert_eq!(feed_after(&store, Default::default()).await.unwrap(), feed, "no change of anything");
}

pub async fn events_published_at_once_are_stored_all_or_none(backend: &dyn Backend) {
    let store = backend.store();
    let known = event("published");
    store.publisher().publish(std::slice::from_ref(&known)).await.unwrap();
    // More than any backend writes with one statement, and the last is the bad one.
    let mut events: Vec<_> = (0..1_500).map(|_| event("published")).collect();
    for bad in [AuditEvent { actor: None, ..event("published") }, known.clone()] {
        events.push(bad);
        let (outcome, stored) = at_once(&store, &events).await;
        assert!(matches!(outcome, Err(StoreError::Refused(_))), "{outcome:?}");
        assert_eq!(stored, [known.id], "nothing of the others, and the known one once");
        events.pop();
    }
    let (outcome, stored) = at_once(&store, &events).await;
    outcome.unwrap();
    assert_eq!(stored.len(), 1_501);
}

pub async fn what_claims_an_external_id_is_not_published_at_once(backend: &dyn Backend) {
    let (store, acme) = (backend.store(), tenant("acme"));
    create(&store, &acme).await.unwrap();
    let (outcome, stored) = at_once(&store, &[event("published"), called("e", &acme)]).await;
    assert!(matches!(outcome, Err(StoreError::Refused(_))), "{outcome:?}");
    assert_eq!(stored, []);
    let claimed = called("e", &acme);
    assert_eq!(publish(&store, std::slice::from_ref(&claimed)).await.unwrap(), [claimed.id], "the id is free");
}

pub async fn many_that_publish_at_once_all_end(backend: &dyn Backend) {
    let tasks: Vec<_> = (0..60)
        .map(|n| {
            let store = backend.store();
            let events: Vec<_> = (0..=n % 3).map(|_| event("published")).collect();
            tokio::spawn(async move { store.publisher().publish(&events).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(stored(&backend.store()).await.len(), 20 * (1 + 2 + 3));
}
