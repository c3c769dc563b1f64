//! Cases about what is the same for every process on one database.
//!
//! Invariant of the cases: it is drawn once; a cursor or an epoch of one process is good in every other.

use std::sync::Arc;

use tokio::sync::Barrier;

use crate::port::Installation;
use crate::testing::Backend;

#[track_caller]
fn assert_same(a: &Installation, b: &Installation) {
    assert_eq!((a.epoch, a.cursor_key), (b.epoch, b.cursor_key));
}

pub async fn the_installation_stays_the_same(backend: &dyn Backend) {
    let first = backend.store().installation().await.unwrap();
    assert!(!first.epoch.is_nil() && first.cursor_key != [0; 32]);
    assert_same(&backend.store().installation().await.unwrap(), &first);
    assert_same(&backend.reopen().await.installation().await.unwrap(), &first);
}

pub async fn concurrent_first_starts_agree(backend: &dyn Backend) {
    let barrier = Arc::new(Barrier::new(8));
    let handles = [backend.store(), backend.reopen().await];
    let mut tasks = Vec::new();
    for number in 0..8 {
        let (store, barrier) = (Arc::clone(&handles[number % 2]), Arc::clone(&barrier));
        tasks.push(tokio::spawn(async move {
            barrier.wait().await;
            store.installation().await
        }));
    }
    let stored = backend.store().installation().await.unwrap();
    for task in tasks {
        assert_same(&task.await.unwrap().unwrap(), &stored);
    }
}

pub async fn two_databases_are_two_installations(backend: &dyn Backend) {
    // Any other backend is another database.
    let other = crate::sqlite::SqliteStore::in_memory().await.unwrap();
    let (a, b) = (backend.store().installation().await.unwrap(), crate::Store::installation(&other).await.unwrap());
    assert_ne!(a.epoch, b.epoch);
    assert_ne!(a.cursor_key, b.cursor_key);
}

pub async fn the_schema_is_the_one_wanted(backend: &dyn Backend) {
    let state = backend.store().check().await.unwrap();
    assert!(state.wanted > 0);
    assert_eq!(state.current, state.wanted);
}
