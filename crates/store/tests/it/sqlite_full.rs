//! The SQLite file when there is no room left, and when there is again.
//!
//! SQLite ends a transaction by itself when the disk is full; what the driver believes of its connection is wrong from
//! then on. Invariant: one failed write costs that write, and none after it.

use std::sync::Arc;

use store::sqlite::SqliteStore;
use store::testing::fixtures::{create, tenant};
use store::{Store, StoreError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_on_once_a_full_disk_has_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = Arc::new(SqliteStore::open(&folder.path().join("registry.sqlite")).await.unwrap());
    // As full as a disk: the limit is of the connection, which is the only one that writes.
    sqlx::query("PRAGMA max_page_count = 1").execute(file.writer()).await.unwrap();
    let store: Arc<dyn Store> = Arc::clone(&file) as _;
    let mut refused = None;
    for number in 0..1_000 {
        if let Err(error) = create(&store, &tenant(&format!("full-{number}"))).await {
            refused = Some(error);
            break;
        }
    }
    assert!(matches!(refused, Some(StoreError::Unavailable(_))), "{refused:?}");
    sqlx::query("PRAGMA max_page_count = 1000000").execute(file.writer()).await.unwrap();
    for slug in ["again-1", "again-2"] {
        create(&store, &tenant(slug)).await.unwrap();
    }
    store.close().await;
}
