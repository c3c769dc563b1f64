//! Cases about requests that may be repeated.
//!
//! Invariant of the cases: of all that hold one key, one at most completes it, whatever the clock says to whom.

use std::sync::Arc;

use domain::{Nesting, Timestamp};
use tokio::sync::Barrier;

use super::conflict;
use crate::error::{Conflict, Result};
use crate::port::{Claim, Claimed, Scope, Store, Unaudited};
use crate::testing::Backend;
use crate::testing::fixtures::{audit, claim, later, now, stored, tenant};

async fn reserve(store: &Arc<dyn Store>, claim: &Claim, at: Timestamp) -> Result<Claimed> {
    let mut tx = store.begin(Scope::Platform).await?;
    let claimed = tx.reserve(claim, at).await?;
    tx.commit_unaudited(Unaudited::Idempotency).await?;
    Ok(claimed)
}

async fn complete(store: &Arc<dyn Store>, claim: &Claim, outcome: &str) -> Result<()> {
    let mut tx = store.begin(Scope::Platform).await?;
    tx.complete(claim, outcome).await?;
    tx.commit_unaudited(Unaudited::Idempotency).await
}

async fn release(store: &Arc<dyn Store>, claim: &Claim) {
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.release(claim).await.unwrap();
    tx.commit_unaudited(Unaudited::Idempotency).await.unwrap();
}

async fn purge(store: &Arc<dyn Store>, at: Timestamp, limit: usize) -> Result<u64> {
    let mut tx = store.begin(Scope::Platform).await?;
    let purged = tx.purge(at, limit).await?;
    tx.commit_unaudited(Unaudited::Idempotency).await?;
    Ok(purged)
}

fn done(outcome: &str) -> Claimed {
    Claimed::Done { outcome: outcome.to_owned() }
}

pub async fn a_key_is_reserved_once_at_a_time(backend: &dyn Backend) {
    let store = backend.store();
    assert_eq!(reserve(&store, &claim("k"), now()).await.unwrap(), Claimed::Reserved);
    assert_eq!(reserve(&store, &claim("k"), now()).await.unwrap(), Claimed::InProgress);
    assert_eq!(reserve(&store, &claim("k"), later(59)).await.unwrap(), Claimed::InProgress);
    assert_eq!(reserve(&store, &claim("K"), now()).await.unwrap(), Claimed::Reserved);
}

pub async fn a_key_belongs_to_its_caller(backend: &dyn Backend) {
    let store = backend.store();
    assert_eq!(reserve(&store, &claim("k"), now()).await.unwrap(), Claimed::Reserved);
    let other = Claim { caller: "other".to_owned(), ..claim("k") };
    assert_eq!(reserve(&store, &other, now()).await.unwrap(), Claimed::Reserved);
    complete(&store, &other, "theirs").await.unwrap();
    assert_eq!(reserve(&store, &claim("k"), now()).await.unwrap(), Claimed::InProgress);
}

pub async fn a_key_for_another_request_is_reused(backend: &dyn Backend) {
    let (store, mine) = (backend.store(), claim("k"));
    let other = Claim { fingerprint: "DELETE /".to_owned(), ..claim("k") };
    assert_eq!(reserve(&store, &mine, now()).await.unwrap(), Claimed::Reserved);
    assert_eq!(reserve(&store, &other, now()).await.unwrap(), Claimed::Reused);
    complete(&store, &mine, "{}").await.unwrap();
    assert_eq!(reserve(&store, &other, now()).await.unwrap(), Claimed::Reused);
}

pub async fn an_outcome_is_kept(backend: &dyn Backend) {
    let (store, mine, acme) = (backend.store(), claim("k"), tenant("acme"));
    reserve(&store, &mine, now()).await.unwrap();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.insert_tenant(&acme, Nesting::Refused).await.unwrap();
    tx.complete(&mine, r#"{"b": 1, "a": 1.0, "name": "Zoë 🦀"}"#).await.unwrap();
    tx.commit(audit("tenant.created")).await.unwrap();
    let expected = done(r#"{"b": 1, "a": 1.0, "name": "Zoë 🦀"}"#);
    assert_eq!(reserve(&store, &claim("k"), now()).await.unwrap(), expected);
    // The lease is over: that is of no account once it is done.
    assert_eq!(reserve(&backend.reopen().await, &claim("k"), later(3_599)).await.unwrap(), expected);
}

pub async fn an_outcome_for_now_counts_as_running_and_gives_nothing_away(backend: &dyn Backend) {
    let (store, mine) = (backend.store(), claim("k"));
    reserve(&store, &mine, now()).await.unwrap();
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.complete_for_now(&mine, "half", later(20)).await.unwrap();
    tx.commit_unaudited(Unaudited::Idempotency).await.unwrap();
    assert_eq!(reserve(&store, &mine, later(19)).await.unwrap(), Claimed::InProgress);
    let other = Claim { fingerprint: "DELETE /".to_owned(), ..claim("k") };
    assert_eq!(reserve(&store, &other, later(19)).await.unwrap(), Claimed::Reused);
    // Whoever made it never came back: what was committed is what is told.
    assert_eq!(reserve(&store, &mine, later(20)).await.unwrap(), done("half"));
    release(&store, &mine).await;
    complete(&store, &mine, "whole").await.unwrap();
    assert_eq!(reserve(&store, &mine, now()).await.unwrap(), done("whole"));
    let late = Claim { token: uuid::Uuid::from_u128(9), ..claim("k") };
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(conflict(tx.complete_for_now(&late, "late", later(90)).await), Conflict::ReservationLost);
}

pub async fn a_lease_that_ran_out_is_taken_over(backend: &dyn Backend) {
    let (store, first) = (backend.store(), claim("k"));
    reserve(&store, &first, now()).await.unwrap();
    let second = Claim { lease_until: later(120), fingerprint: "PUT /".to_owned(), ..claim("k") };
    assert_eq!(reserve(&store, &second, later(60)).await.unwrap(), Claimed::Reserved);
    assert_eq!(
        reserve(&store, &Claim { fingerprint: "PUT /".to_owned(), ..claim("k") }, later(61)).await.unwrap(),
        Claimed::InProgress
    );
    complete(&store, &second, "second").await.unwrap();
}

pub async fn a_late_completer_loses(backend: &dyn Backend) {
    let (store, first, second, acme) = (backend.store(), claim("k"), claim("k"), tenant("acme"));
    reserve(&store, &first, now()).await.unwrap();
    assert_eq!(
        reserve(&store, &Claim { lease_until: later(120), ..second.clone() }, later(60)).await.unwrap(),
        Claimed::Reserved
    );
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    tx.insert_tenant(&acme, Nesting::Refused).await.unwrap();
    assert_eq!(conflict(tx.complete(&first, "first").await), Conflict::ReservationLost);
    drop(tx);
    assert_eq!(stored(&store, &acme).await.unwrap(), None, "its change is lost with it");
    complete(&store, &second, "second").await.unwrap();
    assert_eq!(conflict(complete(&store, &first, "first").await), Conflict::ReservationLost);
    assert_eq!(reserve(&store, &claim("k"), later(61)).await.unwrap(), done("second"));
}

pub async fn a_completer_without_a_reservation_loses(backend: &dyn Backend) {
    let (store, mine) = (backend.store(), claim("k"));
    assert_eq!(conflict(complete(&store, &mine, "{}").await), Conflict::ReservationLost);
    reserve(&store, &mine, now()).await.unwrap();
    for other in [Claim { caller: "x".to_owned(), ..mine.clone() }, Claim { key: "x".to_owned(), ..mine.clone() }] {
        assert_eq!(conflict(complete(&store, &other, "{}").await), Conflict::ReservationLost);
    }
    assert_eq!(reserve(&store, &claim("k"), now()).await.unwrap(), Claimed::InProgress);
}

pub async fn a_released_key_can_be_reserved(backend: &dyn Backend) {
    let (store, first) = (backend.store(), claim("k"));
    reserve(&store, &first, now()).await.unwrap();
    release(&store, &first).await;
    assert_eq!(conflict(complete(&store, &first, "{}").await), Conflict::ReservationLost);
    let other = Claim { fingerprint: "PUT /".to_owned(), ..claim("k") };
    assert_eq!(reserve(&store, &other, now()).await.unwrap(), Claimed::Reserved);
}

pub async fn releasing_spares_outcomes_and_other_reservations(backend: &dyn Backend) {
    let (store, mine) = (backend.store(), claim("k"));
    reserve(&store, &mine, now()).await.unwrap();
    release(&store, &claim("k")).await;
    assert_eq!(reserve(&store, &claim("k"), now()).await.unwrap(), Claimed::InProgress);
    complete(&store, &mine, "kept").await.unwrap();
    release(&store, &mine).await;
    assert_eq!(reserve(&store, &claim("k"), now()).await.unwrap(), done("kept"));
}

pub async fn a_record_expires(backend: &dyn Backend) {
    let (store, mine) = (backend.store(), claim("k"));
    reserve(&store, &mine, now()).await.unwrap();
    complete(&store, &mine, "old").await.unwrap();
    let next =
        Claim { fingerprint: "PUT /".to_owned(), lease_until: later(4_000), expires_at: later(8_000), ..claim("k") };
    assert_eq!(reserve(&store, &next, later(3_599)).await.unwrap(), Claimed::Reused);
    assert_eq!(reserve(&store, &next, later(3_600)).await.unwrap(), Claimed::Reserved);
    let again = Claim { token: claim("k").token, ..next.clone() };
    assert_eq!(reserve(&store, &again, later(3_601)).await.unwrap(), Claimed::InProgress, "the old outcome is gone");
    assert_eq!(conflict(complete(&store, &mine, "late").await), Conflict::ReservationLost);
}

pub async fn records_are_purged_up_to_a_limit(backend: &dyn Backend) {
    let store = backend.store();
    for number in 0..5 {
        let one = Claim { expires_at: later(100 + number), ..claim(&number.to_string()) };
        reserve(&store, &one, now()).await.unwrap();
    }
    assert_eq!(purge(&store, later(99), 9).await.unwrap(), 0);
    assert_eq!(purge(&store, later(102), 2).await.unwrap(), 2, "as many as asked for");
    assert_eq!(reserve(&store, &claim("2"), now()).await.unwrap(), Claimed::InProgress, "the earliest went first");
    assert_eq!(purge(&store, later(102), 9).await.unwrap(), 1, "up to that instant");
    assert_eq!(reserve(&store, &claim("2"), now()).await.unwrap(), Claimed::Reserved);
    assert_eq!(reserve(&store, &claim("3"), now()).await.unwrap(), Claimed::InProgress);
}

pub async fn a_reservation_rolled_back_was_never_made(backend: &dyn Backend) {
    let (store, mine) = (backend.store(), claim("k"));
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(tx.reserve(&mine, now()).await.unwrap(), Claimed::Reserved);
    drop(tx);
    assert_eq!(reserve(&store, &claim("k"), now()).await.unwrap(), Claimed::Reserved);
}

pub async fn of_racing_reservations_one_is_reserved(backend: &dyn Backend) {
    let handles = [backend.store(), backend.reopen().await];
    // A fresh key first, then the same one once its lease is over.
    for (at, lease_until) in [(now(), later(60)), (later(60), later(120))] {
        let barrier = Arc::new(Barrier::new(8));
        let mut tasks = Vec::new();
        for number in 0..8 {
            let (store, barrier) = (Arc::clone(&handles[number % 2]), Arc::clone(&barrier));
            tasks.push(tokio::spawn(async move {
                barrier.wait().await;
                reserve(&store, &Claim { lease_until, ..claim("k") }, at).await
            }));
        }
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await.unwrap().unwrap());
        }
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Claimed::Reserved).count(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Claimed::InProgress).count(), 7, "{outcomes:?}");
    }
}

pub async fn a_purge_spares_a_key_that_is_taken_again_meanwhile(backend: &dyn Backend) {
    let (store, old) = (backend.store(), claim("k"));
    reserve(&store, &old, now()).await.unwrap();
    let fresh = Claim { lease_until: later(4_000), expires_at: later(8_000), ..claim("k") };
    let mut tx = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(tx.reserve(&fresh, later(3_600)).await.unwrap(), Claimed::Reserved);
    let other = backend.reopen().await;
    let purging = tokio::spawn(async move { purge(&other, later(3_600), 9).await });
    backend.until_somebody_waits().await;
    tx.commit_unaudited(Unaudited::Idempotency).await.unwrap();
    assert_eq!(purging.await.unwrap().unwrap(), 0);
    complete(&store, &fresh, "{}").await.unwrap();
}
