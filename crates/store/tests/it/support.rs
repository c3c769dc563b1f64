//! What the tests of single backends share: the start of a test, and its end.
//!
//! Invariant: a test that is left out says so, and a test that hangs fails.

use store::testing::{Backend, note_skipped};

/// A fresh database, or none when this run leaves the backend out, which is said.
pub(crate) async fn or_skip<B: Backend>(name: &str) -> Option<B> {
    let backend = B::open().await;
    if backend.is_none() {
        note_skipped(name);
    }
    backend
}

/// `postgres_test!(name, async |backend: &Postgres| { … })`: one test on a fresh PostgreSQL database.
macro_rules! postgres_test {
    ($name:ident, $body:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let name = concat!(module_path!(), "::", stringify!($name));
            let Some(backend) = $crate::support::or_skip::<store::testing::Postgres>(name).await else { return };
            let limit = std::time::Duration::from_secs(60);
            tokio::time::timeout(limit, ($body)(&backend)).await.expect("the test hangs");
            store::testing::Backend::store(&backend).close().await;
        }
    };
}
pub(crate) use postgres_test;
