//! How much SQLite does for a page of one tenant among the rows of many.
//!
//! Counted in steps of its virtual machine, which a loaded machine does not change. Invariant: a page costs what it gives,
//! not what the other tenants have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::{RequestStatus, Tenant};
use sqlx::AssertSqlSafe;
use store::sqlite::SqliteStore;
use store::testing::fixtures::{create, first, later, offer, tenant};
use store::{EntitlementFilter, Page, RequestFilter, Scope, Store, Tx};

/// Rows of the other tenant, which are newer than all of the first one's.
const OTHERS: u32 = 20_000;
/// A walk over the others' rows takes several steps for each.
const STEPS_MAX: u64 = 5_000;
/// How many steps are counted at once.
const STRIDE: i32 = 50;

/// A store with two tenants: one has three rows of everything, the other very many newer ones.
async fn crowded() -> (Arc<SqliteStore>, Tenant, Arc<AtomicU64>) {
    let sqlite = Arc::new(SqliteStore::in_memory().await.unwrap());
    let store: Arc<dyn Store> = Arc::clone(&sqlite) as _;
    let (few, many) = (tenant("few"), tenant("many"));
    create(&store, &few).await.unwrap();
    create(&store, &many).await.unwrap();
    offer(&store, &["wiki"]).await.unwrap();
    for (whose, age, rows) in [(&few, 1, 3), (&many, 2, OTHERS)] {
        let tenant = format!("x'{}'", whose.id.0.simple());
        let id = |kind: u32| format!("CAST(unhex(printf('{age:02x}{kind:02x}0000000070008000%012x', n)) AS BLOB)");
        let numbers = format!("WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows})");
        for sql in [
            format!(
                "{numbers} INSERT INTO api_keys (id, tenant_id, name, prefix, last_four, hash, scopes, created_at, created_by) \
                 SELECT {}, {tenant}, 'k', 'trk', 'abcd', randomblob(32), '[]', 0, 'x' FROM c",
                id(1)
            ),
            format!(
                "{numbers} INSERT INTO products (key, name, trial_days, requestable, created_at) \
                 SELECT 'p' || {age} || '-' || n, 'p', 1, 1, 0 FROM c"
            ),
            format!(
                "{numbers} INSERT INTO entitlements (id, tenant_id, product, state, source, limits, created_at, updated_at) \
                 SELECT {}, {tenant}, 'p' || {age} || '-' || n, 'active', 'grant', '{{}}', 0, 0 FROM c",
                id(2)
            ),
            // The few are open, the many were decided.
            format!(
                "{numbers} INSERT INTO catalog_requests (id, tenant_id, product, status, requested_by, decided_by, created_at, \
                 decided_at) SELECT {}, {tenant}, 'p' || n, iif({age} = 1, 'open', 'rejected'), 'x', \
                 iif({age} = 1, NULL, 'x'), 0, iif({age} = 1, NULL, 0) FROM c",
                id(3)
            ),
        ] {
            sqlx::query(AssertSqlSafe(sql)).execute(sqlite.writer()).await.unwrap();
        }
    }
    let steps = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&steps);
    let mut conn = sqlite.writer().acquire().await.unwrap();
    conn.lock_handle().await.unwrap().set_progress_handler(STRIDE, move || {
        counter.fetch_add(STRIDE.unsigned_abs().into(), Ordering::Relaxed);
        true
    });
    (sqlite, few, steps)
}

/// The writer's connection is the one whose steps are counted; it reads as the readers do.
async fn begin(sqlite: &SqliteStore, scope: Scope) -> Box<dyn Tx> {
    sqlite.begin(scope).await.unwrap()
}

#[track_caller]
fn few_steps(steps: &AtomicU64, what: &str) {
    let taken = steps.swap(0, Ordering::Relaxed);
    assert!(taken < STEPS_MAX, "{what}: {taken} steps");
}

#[tokio::test]
async fn a_page_of_one_tenants_keys_passes_by_those_of_others() {
    let (sqlite, few, steps) = crowded().await;
    for (scope, tenant) in [(Scope::Platform, Some(few.id)), (Scope::Tenant(few.id), None)] {
        let mut tx = begin(&sqlite, scope).await;
        steps.store(0, Ordering::Relaxed);
        let keys = tx.list_api_keys(tenant, first(10)).await.unwrap();
        few_steps(&steps, "the first page");
        assert_eq!(keys.len(), 3);
        let after = keys.first().map(|key| key.id);
        assert_eq!(tx.list_api_keys(tenant, Page { after, limit: 10 }).await.unwrap(), keys[1..]);
        few_steps(&steps, "the second page");
    }
}

#[tokio::test]
async fn a_page_of_one_tenants_entitlements_passes_by_those_of_others() {
    let (sqlite, few, steps) = crowded().await;
    for (scope, tenant) in [(Scope::Platform, Some(few.id)), (Scope::Tenant(few.id), None)] {
        let filter = EntitlementFilter { tenant, now: later(0) };
        let mut tx = begin(&sqlite, scope).await;
        steps.store(0, Ordering::Relaxed);
        let rows = tx.list_entitlements(&filter, first(10)).await.unwrap();
        few_steps(&steps, "the first page");
        assert_eq!(rows.len(), 3);
        let after = rows.first().map(|row| row.entitlement.id);
        assert_eq!(tx.list_entitlements(&filter, Page { after, limit: 10 }).await.unwrap(), rows[1..]);
        few_steps(&steps, "the second page");
    }
}

#[tokio::test]
async fn a_page_of_one_tenants_requests_passes_by_those_of_others() {
    let (sqlite, few, steps) = crowded().await;
    for (scope, tenant) in [(Scope::Platform, Some(few.id)), (Scope::Tenant(few.id), None)] {
        for status in [None, Some(RequestStatus::Open)] {
            let filter = RequestFilter { tenant, status };
            let mut tx = begin(&sqlite, scope).await;
            steps.store(0, Ordering::Relaxed);
            let requests = tx.list_catalog_requests(&filter, first(10)).await.unwrap();
            few_steps(&steps, "the first page");
            assert_eq!(requests.len(), 3);
            let after = requests.first().map(|request| request.id);
            assert_eq!(tx.list_catalog_requests(&filter, Page { after, limit: 10 }).await.unwrap(), requests[1..]);
            few_steps(&steps, "the second page");
        }
        // Of many that were decided, none is this tenant's.
        let filter = RequestFilter { tenant, status: Some(RequestStatus::Rejected) };
        let mut tx = begin(&sqlite, scope).await;
        steps.store(0, Ordering::Relaxed);
        assert_eq!(tx.list_catalog_requests(&filter, first(10)).await.unwrap(), []);
        few_steps(&steps, "a status that only others' have");
    }
}

#[tokio::test]
async fn open_requests_are_found_among_many_that_were_decided() {
    let (sqlite, _, steps) = crowded().await;
    let filter = RequestFilter { tenant: None, status: Some(RequestStatus::Open) };
    let mut tx = begin(&sqlite, Scope::Platform).await;
    steps.store(0, Ordering::Relaxed);
    assert_eq!(tx.list_catalog_requests(&filter, first(10)).await.unwrap().len(), 3);
    few_steps(&steps, "the open ones");
}
