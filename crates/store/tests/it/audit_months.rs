//! The audit log by month on PostgreSQL: partitions made ahead, late, and by two at once; who may touch them; and what
//! deleting a tenant leaves alone.
//!
//! Invariant: no event is lost or refused for want of a partition, and none can be changed through one.

use domain::{AuditBatch, AuditEvent};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use store::migrate::{Target, down, up};
use store::postgres::roles;
use store::testing::fixtures::{create, delete, event, first, frozen, later, tenant};
use store::testing::{Backend as _, Postgres};
use store::{AuditFilter, Scope, Unaudited};

use crate::support::postgres_test;

async fn run(conn: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    Ok(sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?.rows_affected())
}

async fn count(conn: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query(AssertSqlSafe(sql)).fetch_one(conn).await.unwrap().get(0)
}

async fn is(conn: &mut PgConnection, sql: &str) -> bool {
    sqlx::query(AssertSqlSafe(sql)).fetch_one(conn).await.unwrap().get(0)
}

#[track_caller]
fn refused(outcome: Result<u64, sqlx::Error>, state: &str) {
    let code =
        outcome.as_ref().err().and_then(|e| e.as_database_error()).and_then(|e| e.code().map(|c| c.into_owned()));
    assert_eq!(code.as_deref(), Some(state), "{outcome:?}");
}

const PARTS: &str = "SELECT count(*) FROM pg_partition_tree('audit_events') WHERE isleaf";

async fn write(backend: &Postgres, events: Vec<AuditEvent>) {
    let tx = backend.store().begin(Scope::Platform).await.unwrap();
    tx.commit(AuditBatch::from_events(events).unwrap()).await.unwrap();
}

postgres_test!(this_month_and_the_next_two_have_their_partitions, async |backend: &Postgres| {
    let mut superuser = backend.superuser().await;
    let exists = |months: i32| {
        format!(
            "SELECT to_regclass('audit_events_' || to_char((now() AT TIME ZONE 'UTC')::date + interval '{months} months', \
             'YYYYMM')) IS NOT NULL"
        )
    };
    for (months, expected) in [(0, true), (1, true), (2, true), (3, false)] {
        assert_eq!(is(&mut superuser, &exists(months)).await, expected, "{months} months ahead");
    }
    assert_eq!(count(&mut superuser, PARTS).await, 4, "three months and the default");
    // A month later, by the service's clock, there is one more.
    let now: i64 = count(&mut superuser, "SELECT extract(epoch FROM date_trunc('month', now()))::bigint").await;
    let mut tx = backend.store().begin(Scope::Platform).await.unwrap();
    tx.ensure_audit_partitions(domain::time::from_micros((now + 32 * 86_400) * 1_000_000)).await.unwrap();
    tx.commit_unaudited(Unaudited::JobBookkeeping).await.unwrap();
    assert!(is(&mut superuser, &exists(3)).await);
    assert_eq!(count(&mut superuser, PARTS).await, 5);
});

postgres_test!(an_event_of_a_month_without_partition_waits_in_the_default, async |backend: &Postgres| {
    let mut superuser = backend.superuser().await;
    let mut platform = backend.service(roles::PLATFORM).await;
    // 2026-09-21, and a day in the month after.
    let (early, late) = (event("early"), AuditEvent { received: later(86_400 * 20), ..event("late") });
    write(backend, vec![early.clone(), late.clone()]).await;
    let place =
        |action: &str| format!("SELECT tableoid::regclass::text AS place FROM audit_events WHERE action = '{action}'");
    let place_of = async |conn: &mut PgConnection, action: &str| -> String {
        sqlx::query(AssertSqlSafe(place(action))).fetch_one(conn).await.unwrap().get("place")
    };
    assert_eq!(place_of(&mut superuser, "early").await, "audit_events_default");
    assert!(is(&mut platform, "SELECT audit_make_partition('2026-09-30')").await, "it is made");
    assert!(!is(&mut platform, "SELECT audit_make_partition('2026-09-01')").await, "and then it is there");
    assert_eq!(place_of(&mut superuser, "early").await, "audit_events_202609");
    assert_eq!(place_of(&mut superuser, "late").await, "audit_events_default", "its month is another");
    let mut view = backend.store().read(Scope::Platform).await.unwrap();
    assert_eq!(view.list_audit_events(&AuditFilter::default(), first(9)).await.unwrap(), [late, early], "unchanged");
    drop(view);
    // The last microsecond of a month and the first of the next, whatever the session's time zone.
    run(&mut platform, "SET timezone = 'Pacific/Kiritimati'").await.unwrap();
    assert!(is(&mut platform, "SELECT audit_make_partition('2024-02-01')").await);
    let bounds = "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'audit_events_202402'";
    run(&mut superuser, "SET timezone = 'UTC'").await.unwrap();
    let text: String = sqlx::query(bounds).fetch_one(&mut superuser).await.unwrap().get(0);
    assert_eq!(text, "FOR VALUES FROM ('2024-02-01 00:00:00+00') TO ('2024-03-01 00:00:00+00')");
});

postgres_test!(two_that_make_one_month_at_once_make_it_once, async |backend: &Postgres| {
    for month in 1..=6 {
        let make = async || {
            let mut conn = backend.service(roles::PLATFORM).await;
            is(&mut conn, &format!("SELECT audit_make_partition('2024-{month:02}-01')")).await
        };
        let (one, two, three) = tokio::join!(make(), make(), make());
        assert_eq!([one, two, three].iter().filter(|made| **made).count(), 1, "month {month}");
    }
});

postgres_test!(appending_goes_on_while_a_partition_is_made, async |backend: &Postgres| {
    let writer = async {
        for _ in 0..40 {
            write(backend, vec![event("tick")]).await;
        }
    };
    let maker = async {
        let mut conn = backend.service(roles::PLATFORM).await;
        for month in ["2026-08-01", "2026-09-01", "2026-10-01"] {
            assert!(is(&mut conn, &format!("SELECT audit_make_partition('{month}')")).await);
        }
    };
    tokio::join!(writer, maker);
    let mut superuser = backend.superuser().await;
    assert_eq!(count(&mut superuser, "SELECT count(*) FROM audit_events_202609").await, 40);
    assert_eq!(count(&mut superuser, "SELECT count(*) FROM audit_events_default").await, 0);
});

postgres_test!(no_partition_is_made_for_a_month_far_away, async |backend: &Postgres| {
    let mut conn = backend.service(roles::PLATFORM).await;
    for month in ["'1999-12-31'", "(now() + interval '25 months')::date", "NULL", "'infinity'", "'0001-01-01 BC'"] {
        refused(run(&mut conn, &format!("SELECT audit_make_partition({month})")).await, "22023");
    }
    assert!(is(&mut conn, "SELECT audit_make_partition('2000-01-01')").await);
    assert!(is(&mut conn, "SELECT audit_make_partition((now() + interval '23 months')::date)").await);
    let mut tenants = backend.service(roles::TENANT).await;
    refused(run(&mut tenants, "SELECT audit_make_partition('2024-01-01')").await, "42501");
});

postgres_test!(no_role_of_the_service_touches_a_partition, async |backend: &Postgres| {
    write(backend, vec![event("ping")]).await;
    run(&mut backend.service(roles::PLATFORM).await, "SELECT audit_make_partition('2026-09-01')").await.unwrap();
    for role in [roles::PLATFORM, roles::TENANT] {
        let mut conn = backend.service(role).await;
        for table in ["audit_events", "audit_events_202609", "audit_events_default"] {
            for sql in ["UPDATE @ SET action = 'x'", "DELETE FROM @", "TRUNCATE @", "DROP TABLE @"] {
                refused(run(&mut conn, &sql.replace('@', table)).await, "42501");
            }
        }
        for table in ["audit_events_202609", "audit_events_default"] {
            for sql in [
                "SELECT * FROM @",
                "INSERT INTO @ SELECT * FROM audit_events",
                "ALTER TABLE audit_events DETACH PARTITION @",
            ] {
                refused(run(&mut conn, &sql.replace('@', table)).await, "42501");
            }
        }
    }
    // And should somebody grant it, row security shows nothing: it is on, without a policy.
    let mut superuser = backend.superuser().await;
    for table in ["audit_events_202609", "audit_events_default"] {
        run(&mut superuser, &format!("GRANT SELECT ON {table} TO {}", roles::PLATFORM)).await.unwrap();
        let mut conn = backend.service(roles::PLATFORM).await;
        assert_eq!(count(&mut conn, &format!("SELECT count(*) FROM {table}")).await, 0);
    }
    let bare = "SELECT count(*) FROM pg_partition_tree('audit_events') t JOIN pg_class c ON c.oid = t.relid WHERE NOT c.relrowsecurity";
    assert_eq!(count(&mut superuser, bare).await, 0);
});

postgres_test!(the_makers_power_is_not_lent_to_the_callers_tables, async |backend: &Postgres| {
    write(backend, vec![event("ping")]).await;
    let mut conn = backend.service(roles::PLATFORM).await;
    for sql in [
        "CREATE TEMP TABLE audit_events (LIKE public.audit_events)",
        "CREATE TEMP TABLE audit_events_default (LIKE public.audit_events)",
        "CREATE TEMP TABLE caught (who text)",
        "GRANT ALL ON audit_events, audit_events_default, caught TO PUBLIC",
        "INSERT INTO pg_temp.audit_events_default SELECT * FROM public.audit_events",
        "CREATE FUNCTION pg_temp.spy() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN INSERT INTO pg_temp.caught VALUES (current_user); RETURN OLD; END'",
        "CREATE TRIGGER spy BEFORE DELETE ON audit_events_default FOR EACH ROW EXECUTE FUNCTION pg_temp.spy()",
        "CREATE FUNCTION pg_temp.make_date(int, int, int) RETURNS date LANGUAGE sql AS \
         'INSERT INTO pg_temp.caught VALUES (current_user); SELECT date ''2020-01-01'''",
        "SET search_path = pg_temp, public",
    ] {
        run(&mut conn, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    assert!(is(&mut conn, "SELECT public.audit_make_partition('2026-09-01')").await);
    assert_eq!(count(&mut conn, "SELECT count(*) FROM pg_temp.caught").await, 0);
    let mut superuser = backend.superuser().await;
    assert_eq!(count(&mut superuser, "SELECT count(*) FROM public.audit_events_202609").await, 1);
});

postgres_test!(a_role_that_may_change_a_partition_is_too_mighty, async |backend: &Postgres| {
    let mut owner = PgConnection::connect(&backend.owner_url()).await.unwrap();
    for grant in ["UPDATE", "UPDATE (action)", "DELETE", "TRUNCATE"] {
        run(&mut owner, &format!("GRANT {grant} ON audit_events_default TO {}", roles::TENANT)).await.unwrap();
        let problems = roles::excess_power(&backend.service_url()).await.unwrap();
        assert!(
            problems.len() == 1 && problems[0].contains("may change or delete audit events"),
            "{grant}: {problems:?}"
        );
        run(&mut owner, &format!("REVOKE {grant} ON audit_events_default FROM {}", roles::TENANT)).await.unwrap();
    }
});

postgres_test!(deleting_a_tenant_touches_none_of_its_events, async |backend: &Postgres| {
    let gone = frozen("gone", &[]);
    create(&backend.store(), &gone).await.unwrap();
    for _ in 0..10 {
        write(backend, (0..5_000).map(|_| event("tick").about(&gone)).collect()).await;
    }
    let mut superuser = backend.superuser().await;
    let untouched = format!(
        "SELECT count(*) FROM audit_events WHERE tenant_id = '{}' AND xmax::text = '0' AND action = 'tick'",
        gone.id
    );
    let versions = "SELECT sum(xmin::text::numeric)::bigint FROM audit_events WHERE action = 'tick'";
    let before = count(&mut superuser, versions).await;
    delete(&backend.store(), &gone).await.unwrap();
    assert_eq!(count(&mut superuser, &untouched).await, 50_000);
    assert_eq!(count(&mut superuser, versions).await, before, "every row is the one that was written");
    // Readers see it at once all the same.
    let filter = AuditFilter { tenant: Some(gone.id), ..AuditFilter::default() };
    assert_eq!(
        backend.store().read(Scope::Platform).await.unwrap().list_audit_events(&filter, first(9)).await.unwrap(),
        []
    );
});

postgres_test!(events_of_before_are_moved_with_the_migration, async |backend: &Postgres| {
    let target = Target::Postgres(backend.owner_url().into());
    // Down to where the log was one table.
    while down(&target, false).await.unwrap().current >= 20_261_121_000_004 {}
    let mut superuser = backend.superuser().await;
    let insert = |action: &str, received: &str| {
        format!(
            "INSERT INTO audit_events (id, tenant_id, former_tenant_id, action, crud, actor_id, actor, created, received, \
             is_anonymous, is_failure, fields, metadata) VALUES (gen_random_uuid(), NULL, gen_random_uuid(), '{action}', \
             'c', 'Ada', '{{\"id\":\"Ada\",\"name\":null,\"type\":null,\"href\":null,\"fields\":{{}}}}', now(), '{received}', \
             false, false, '{{}}', '{{}}')"
        )
    };
    let times = [
        ("old", "1999-01-01Z"),
        ("first", "2025-03-31T23:59:59.999999Z"),
        ("next", "2025-04-01T00:00:00Z"),
        ("far", "2099-01-01Z"),
    ];
    for (action, received) in times {
        run(&mut superuser, &insert(action, received)).await.unwrap();
    }
    up(&target).await.unwrap();
    for (action, place) in [("old", "default"), ("first", "202503"), ("next", "202504"), ("far", "default")] {
        let sql = format!("SELECT count(*) FROM audit_events_{place} WHERE action = '{action}'");
        assert_eq!(count(&mut superuser, &sql).await, 1, "{action}");
    }
    let filter = AuditFilter { text: Some("ADA".to_owned()), ..AuditFilter::default() };
    let found =
        backend.store().read(Scope::Platform).await.unwrap().list_audit_events(&filter, first(9)).await.unwrap();
    assert_eq!(found.iter().map(|event| event.action.as_str()).collect::<Vec<_>>(), ["far", "next", "first", "old"]);
    while down(&target, false).await.unwrap().current >= 20_261_121_000_004 {}
    assert_eq!(count(&mut superuser, "SELECT count(*) FROM audit_events").await, 4, "and back");
    up(&target).await.unwrap();
});

postgres_test!(a_page_of_one_tenant_walks_along_its_index, async |backend: &Postgres| {
    let (mine, other) = (tenant("mine"), tenant("other"));
    create(&backend.store(), &mine).await.unwrap();
    create(&backend.store(), &other).await.unwrap();
    write(backend, (0..20_000).map(|n| AuditEvent { received: later(n), ..event("tick").about(&other) }).collect())
        .await;
    write(backend, (0..100).map(|n| AuditEvent { received: later(n), ..event("mine").about(&mine) }).collect()).await;
    let mut superuser = backend.superuser().await;
    run(&mut superuser, "ANALYZE audit_events; SELECT pg_stat_reset()").await.unwrap();
    let filter = AuditFilter { tenant: Some(mine.id), ..AuditFilter::default() };
    // More often than a plan is made anew for.
    let replica = backend.replica(|settings| settings.max_connections = 1).await;
    let mut after = None;
    for _ in 0..10 {
        let mut view = store::Store::read(&*replica, Scope::Tenant(mine.id)).await.unwrap();
        let page = view.list_audit_events(&filter, store::Page { after, limit: 10 }).await.unwrap();
        assert_eq!(page.len(), 10);
        after = page.last().map(|last| (last.received, last.id));
    }
    store::Store::close(&*replica).await;
    // What was read is told a moment after the connection has ended.
    let read = "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint FROM pg_stat_all_tables \
        WHERE relname LIKE 'audit_events%'";
    store::testing::fixtures::eventually("the statistics", async || {
        count(&mut backend.superuser().await, read).await > 0
    })
    .await;
    let read = count(&mut superuser, read).await;
    assert!(read < 1_000, "{read} rows were read for 100");
});

postgres_test!(a_batch_of_a_deleted_tenants_events_reads_its_own_rows, async |backend: &Postgres| {
    const BATCH: usize = 1_000;
    let (gone, other) = (frozen("gone", &[]), tenant("other"));
    create(&backend.store(), &gone).await.unwrap();
    create(&backend.store(), &other).await.unwrap();
    let mut superuser = backend.superuser().await;
    let months =
        "SELECT count(audit_make_partition((now() - n * interval '1 month')::date)) FROM generate_series(1, 12) AS n";
    assert_eq!(count(&mut superuser, months).await, 12);
    for whose in [&gone, &other] {
        let sql = format!(
            "INSERT INTO audit_events (id, tenant_id, former_tenant_id, action, crud, created, received, is_anonymous, \
             is_failure, fields, metadata) SELECT gen_random_uuid(), '{0}', '{0}', 'tick', 'c', now(), \
             now() - n * interval '12 minutes', true, false, '{{}}', '{{}}' FROM generate_series(1, 40000) AS n",
            whose.id
        );
        run(&mut superuser, &sql).await.unwrap();
    }
    run(&mut superuser, "ANALYZE audit_events").await.unwrap();
    // Where row security costs the owner nothing, reading everything is cheapest by the planner's reckoning.
    run(&mut superuser, "ALTER TABLE audit_events NO FORCE ROW LEVEL SECURITY").await.unwrap();
    delete(&backend.store(), &gone).await.unwrap();
    let read = "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint FROM pg_stat_xact_all_tables \
        WHERE relname LIKE 'audit_events%'";
    let mut platform = backend.service(roles::PLATFORM).await;
    run(&mut platform, "BEGIN").await.unwrap();
    let detach = format!("SELECT audit_detach('{}', {BATCH})", gone.id);
    assert_eq!(count(&mut platform, &detach).await, 1_000);
    let read = count(&mut platform, read).await;
    assert!((1_000..8_000).contains(&read), "{read} rows were read for a batch of {BATCH}");
    run(&mut platform, "ROLLBACK").await.unwrap();
});
