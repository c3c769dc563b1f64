//! Keys on PostgreSQL: whom noting their use waits for, and what deleting a tenant with very many of them takes.
//!
//! Invariant: the note of a key's use waits for nobody and holds up neither a rotation nor the deletion of a tenant.

use std::time::{Duration, Instant};

use domain::{ChangeKind, ChangeOp, ChangeSeq, Tenant};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use store::postgres::roles;
use store::testing::fixtures::{api_key, create, delete, feed_after, frozen, insert_key, later, tenant};
use store::testing::{Backend as _, Postgres};
use store::{Scope, Store as _, Unaudited};

use crate::support::postgres_test;

async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

postgres_test!(a_key_that_somebody_holds_is_passed_over_when_its_use_is_noted, async |backend: &Postgres| {
    let store = backend.store();
    let acme = tenant("acme");
    create(&store, &acme).await.unwrap();
    let (held, free) = (api_key(Some(acme.id), &[]), api_key(Some(acme.id), &[]));
    insert_key(&store, &held).await.unwrap();
    insert_key(&store, &free).await.unwrap();
    let mut holder = store.begin(Scope::Platform).await.unwrap();
    assert!(holder.lock_api_key(held.id).await.unwrap().is_some());
    let mut noting = store.begin(Scope::Platform).await.unwrap();
    let began = Instant::now();
    let noted = noting.note_api_key_use(&[(held.id, later(9)), (free.id, later(9))]).await.unwrap();
    assert_eq!(noted, 1);
    assert!(began.elapsed() < Duration::from_secs(4), "it did not wait");
    noting.commit_unaudited(Unaudited::LastUse).await.unwrap();
    drop(holder);
    // What was passed over is noted the next time.
    let mut noting = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(noting.note_api_key_use(&[(held.id, later(10))]).await.unwrap(), 1);
    noting.commit_unaudited(Unaudited::LastUse).await.unwrap();
});

postgres_test!(noting_a_keys_use_leaves_its_rotation_alone, async |backend: &Postgres| {
    let store = backend.store();
    let acme = tenant("acme");
    create(&store, &acme).await.unwrap();
    let key = api_key(Some(acme.id), &[]);
    insert_key(&store, &key).await.unwrap();
    let mut noting = store.begin(Scope::Platform).await.unwrap();
    assert_eq!(noting.note_api_key_use(&[(key.id, later(9))]).await.unwrap(), 1);
    // The lock of a foreign key's check, as for a key whose successor this one becomes.
    let mut checking = backend.service(roles::PLATFORM).await;
    run(&mut checking, &format!("SELECT 1 FROM api_keys WHERE id = '{}' FOR KEY SHARE NOWAIT", key.id)).await;
    noting.commit_unaudited(Unaudited::LastUse).await.unwrap();
});

/// Gives a tenant keys, beside the port: very many at once.
async fn give_keys(backend: &Postgres, whose: &Tenant, keys: u32) {
    let sql = format!(
        "INSERT INTO api_keys (id, tenant_id, name, prefix, last_four, hash, scopes, created_at, created_by) \
         SELECT gen_random_uuid(), '{}', 'k', 'trk', 'abcd', sha256(n::text::bytea), '[]', now(), 'x' \
         FROM generate_series(1, {keys}) AS n",
        whose.id
    );
    run(&mut backend.superuser().await, &sql).await;
}

postgres_test!(deleting_a_tenant_may_take_longer_than_other_statements, async |backend: &Postgres| {
    let gone = frozen("gone", &[]);
    create(&backend.store(), &gone).await.unwrap();
    give_keys(backend, &gone, 1).await;
    // As slow as very many keys.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN PERFORM pg_sleep(3); RETURN OLD; END'; \
        CREATE TRIGGER slow BEFORE DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION slow()";
    run(&mut backend.superuser().await, slow).await;
    let hasty = backend.replica(|settings| settings.statement_timeout = Duration::from_secs(2)).await;
    delete(&(hasty.clone() as _), &gone).await.unwrap();
    assert_eq!(hasty.read(Scope::Platform).await.unwrap().get_tenant(gone.id).await.unwrap(), None);
    hasty.close().await;
});

postgres_test!(very_many_changes_are_told_in_chunks_and_in_order, async |backend: &Postgres| {
    let store = backend.store();
    let gone = frozen("gone", &[]);
    create(&store, &gone).await.unwrap();
    give_keys(backend, &gone, 12_000).await;
    let watch = "CREATE TABLE chunks (rows bigint); \
        CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS \
        'BEGIN INSERT INTO chunks SELECT count(*) FROM added; RETURN NULL; END'; \
        CREATE TRIGGER watch AFTER INSERT ON changes REFERENCING NEW TABLE AS added \
        FOR EACH STATEMENT EXECUTE FUNCTION watch()";
    let mut superuser = backend.superuser().await;
    run(&mut superuser, watch).await;
    let after = store.head().await.unwrap();
    delete(&store, &gone).await.unwrap();
    let row = sqlx::query("SELECT max(rows), sum(rows)::bigint FROM chunks").fetch_one(&mut superuser).await.unwrap();
    let (largest, all): (i64, i64) = (row.get(0), row.get(1));
    assert!(largest <= 5_000, "{largest} in one statement");
    assert_eq!(all, 12_001);
    let changes = feed_after(&store, after).await.unwrap();
    assert!(changes.iter().all(|change| change.change.op == ChangeOp::Delete && change.seq > ChangeSeq(0)));
    let kinds: Vec<ChangeKind> = changes.iter().map(|change| change.change.kind).collect();
    assert_eq!(kinds.len(), 12_001);
    assert!(kinds[..12_000].iter().all(|kind| *kind == ChangeKind::ApiKey), "the keys first");
    assert_eq!(kinds[12_000], ChangeKind::Tenant, "and the tenant last");
});
