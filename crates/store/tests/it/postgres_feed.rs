//! The feed on PostgreSQL, where transactions commit in another order than they drew their numbers.
//!
//! The writers here are raw connections that call `feed_append` as the store does and then hold their transaction, so that
//! each order can be made to happen. A plain `WHERE seq > last` reader runs beside the store's where the difference is the
//! point. Invariant: the store's reader gives every committed change, in order, and nothing behind a gap that may close.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ChangeSeq;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use store::postgres::{PgStore, roles};
use store::testing::fixtures::{create, eventually, tenant};
use store::testing::{Backend as _, Postgres};
use store::{ChangePage, Store};

use crate::support::{or_skip, postgres_test};

const START: ChangeSeq = ChangeSeq(0);

/// A writer whose transaction is in the test's hands.
struct Writer {
    conn: PgConnection,
    pid: i32,
}

impl Writer {
    async fn new(backend: &Postgres) -> Self {
        let mut conn = backend.service(roles::PLATFORM).await;
        let pid = sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut conn).await.unwrap().get(0);
        Self { conn, pid }
    }

    async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.conn).await.unwrap();
    }

    /// Begins, draws the next number for a change of this name, and holds the transaction.
    async fn draws(backend: &Postgres, name: &str) -> Self {
        let mut writer = Self::new(backend).await;
        writer.run("BEGIN").await;
        writer.append(name).await;
        writer
    }

    async fn append(&mut self, name: &str) {
        self.run(&format!(
            "SELECT feed_append(ARRAY['tenant'], ARRAY['upsert'], ARRAY[NULL]::uuid[], ARRAY['{name}'], ARRAY[NULL]::text[])"
        ))
        .await;
    }

    async fn commits(mut self) {
        self.run("COMMIT").await;
    }

    async fn rolls_back(mut self) {
        self.run("ROLLBACK").await;
    }
}

async fn committed(backend: &Postgres, name: &str) {
    Writer::draws(backend, name).await.commits().await;
}

fn names(page: &ChangePage) -> Vec<&str> {
    page.changes.iter().map(|change| change.change.id.as_str()).collect()
}

async fn changes(store: &PgStore, after: ChangeSeq) -> ChangePage {
    store.changes(after, 100).await.unwrap()
}

/// Asks again until the feed is complete: a dead gap takes a second look.
async fn complete(store: &PgStore, after: ChangeSeq) -> ChangePage {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let page = changes(store, after).await;
        if page.complete {
            return page;
        }
        assert!(Instant::now() < deadline, "the feed does not become complete: {page:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

postgres_test!(a_number_that_commits_late_is_not_skipped_as_a_plain_reader_does, async |backend: &Postgres| {
    let store = backend.pg_store();
    let mut plain = backend.service(roles::PLATFORM).await;
    let mut plain_last = 0_i64;
    let mut plain_seen: Vec<String> = Vec::new();
    let mut plain_reads = async || {
        let sql = "SELECT seq, entity_id FROM changes WHERE seq > $1 ORDER BY seq";
        for row in sqlx::query(sql).bind(plain_last).fetch_all(&mut plain).await.unwrap() {
            (plain_last, _) = (row.get("seq"), plain_seen.push(row.get("entity_id")));
        }
        plain_seen.clone()
    };
    committed(backend, "a").await;
    assert_eq!(names(&changes(store, START).await), ["a"]);
    assert_eq!(plain_reads().await, ["a"]);

    let late = Writer::draws(backend, "late").await;
    committed(backend, "early").await;
    for _ in 0..5 {
        let page = changes(store, START).await;
        assert_eq!((names(&page), page.complete), (vec!["a"], false), "nothing behind the gap, however often one asks");
    }
    let after_a = changes(store, START).await.changes[0].seq;
    assert_eq!(names(&changes(store, after_a).await), [""; 0]);
    assert_eq!(plain_reads().await, ["a", "early"]);

    late.commits().await;
    let page = changes(store, after_a).await;
    assert_eq!((names(&page), page.complete), (vec!["late", "early"], true));
    assert_eq!(plain_reads().await, ["a", "early"], "the plain reader has lost `late` for ever");
});

postgres_test!(a_number_that_was_rolled_back_is_passed, async |backend: &Postgres| {
    let store = backend.pg_store();
    let dead = Writer::draws(backend, "dead").await;
    committed(backend, "b").await;
    assert_eq!(names(&changes(store, START).await), [""; 0]);
    dead.rolls_back().await;
    assert_eq!(names(&complete(store, START).await), ["b"]);
    let page = changes(store, START).await;
    assert_eq!((names(&page), page.complete), (vec!["b"], true), "and it stays dead");
});

postgres_test!(a_number_whose_connection_was_terminated_is_passed, async |backend: &Postgres| {
    let store = backend.pg_store();
    let dead = Writer::draws(backend, "dead").await;
    committed(backend, "b").await;
    assert!(!changes(store, START).await.complete);
    let mut superuser = backend.superuser().await;
    sqlx::query("SELECT pg_terminate_backend($1)").bind(dead.pid).execute(&mut superuser).await.unwrap();
    assert_eq!(names(&complete(store, START).await), ["b"]);
});

postgres_test!(a_number_whose_socket_was_dropped_is_passed, async |backend: &Postgres| {
    let store = backend.pg_store();
    let dead = Writer::draws(backend, "dead").await;
    committed(backend, "b").await;
    assert!(!changes(store, START).await.complete);
    drop(dead);
    assert_eq!(names(&complete(store, START).await), ["b"]);
});

postgres_test!(
    nothing_behind_a_transaction_that_hangs_is_given_until_the_server_ends_it,
    async |backend: &Postgres| {
        let store = backend.pg_store();
        let mut hanging = Writer::new(backend).await;
        // As the store's own connections have it; shorter than the time that this test looks.
        hanging.run("SET idle_in_transaction_session_timeout = 700").await;
        hanging.run("BEGIN").await;
        hanging.append("dead").await;
        let begin = Instant::now();
        committed(backend, "b").await;
        let mut looks = 0;
        let page = loop {
            let page = changes(store, START).await;
            if page.complete {
                break page;
            }
            assert_eq!(names(&page), [""; 0]);
            assert!(begin.elapsed() < Duration::from_secs(20), "the server does not end it");
            looks += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert!(
            begin.elapsed() >= Duration::from_millis(600) && looks > 3,
            "it was given early: {:?}",
            begin.elapsed()
        );
        assert_eq!(names(&page), ["b"]);
    }
);

postgres_test!(a_stores_own_transaction_that_hangs_is_ended_by_the_server, async |backend: &Postgres| {
    let store = backend.replica(|settings| settings.statement_timeout = Duration::from_millis(400)).await;
    let acme = tenant("acme");
    let mut tx = store.begin(store::Scope::Platform).await.unwrap();
    tx.insert_tenant(&acme, domain::Nesting::Refused).await.unwrap();
    // It hangs, and holds the slug. Somebody else waits for it, and gets it.
    create(&backend.store(), &tenant("acme")).await.unwrap();
    let outcome = tx.commit(store::testing::fixtures::audit("late")).await;
    assert!(matches!(outcome, Err(store::StoreError::Timeout(_) | store::StoreError::Unavailable(_))), "{outcome:?}");
    assert_eq!(complete(&store, START).await.changes.len(), 1);
    store.close().await;
});

postgres_test!(the_head_waits_for_who_may_still_commit_below_it, async |backend: &Postgres| {
    let store = backend.pg_store();
    let late = Writer::draws(backend, "late").await;
    committed(backend, "early").await;
    let asking = Arc::clone(store);
    let mut head = tokio::spawn(async move { asking.head().await.unwrap() });
    // The place that it will name is above `late`, which no reader could see yet.
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut head).await.is_err(), "it did not wait");
    let behind = Writer::draws(backend, "behind").await;
    late.commits().await;
    let head = tokio::time::timeout(Duration::from_secs(20), head).await.expect("not for who came later").unwrap();
    behind.commits().await;
    let all = complete(store, START).await.changes;
    let places: Vec<_> = all.iter().map(|change| (change.change.id.as_str(), change.seq <= head)).collect();
    assert_eq!(places, [("late", true), ("early", true), ("behind", false)]);
    assert_eq!(names(&complete(store, head).await), ["behind"]);
});

postgres_test!(several_gaps_close_one_by_one, async |backend: &Postgres| {
    let store = backend.pg_store();
    let one = Writer::draws(backend, "1").await;
    committed(backend, "2").await;
    let three = Writer::draws(backend, "3").await;
    let four = Writer::draws(backend, "4").await;
    committed(backend, "5").await;
    assert_eq!(names(&changes(store, START).await), [""; 0]);
    three.commits().await;
    assert_eq!(names(&changes(store, START).await), [""; 0]);
    one.rolls_back().await;
    // Who drew which number is not known: as long as `four` is open, the first gap may be its.
    assert!(!changes(store, START).await.complete);
    four.commits().await;
    assert_eq!(names(&complete(store, START).await), ["2", "3", "4", "5"]);
});

postgres_test!(one_transaction_fills_several_places, async |backend: &Postgres| {
    let store = backend.pg_store();
    let mut one = Writer::draws(backend, "1").await;
    let two = Writer::draws(backend, "2").await;
    one.append("3").await;
    committed(backend, "4").await;
    one.commits().await;
    let page = changes(store, START).await;
    assert_eq!((names(&page), page.complete), (vec!["1"], false));
    two.commits().await;
    assert_eq!(names(&complete(store, START).await), ["1", "2", "3", "4"]);
});

postgres_test!(a_reader_that_starts_anew_passes_many_old_gaps, async |backend: &Postgres| {
    for number in 0..30 {
        Writer::draws(backend, "dead").await.rolls_back().await;
        if number % 3 == 0 {
            committed(backend, &number.to_string()).await;
        }
    }
    let fresh = backend.replica(|_| {}).await;
    let page = changes(&fresh, START).await;
    assert_eq!((page.changes.len(), page.complete), (10, true), "at the first call, since nobody writes");
    fresh.close().await;
});

// More numbers than a reader could remember one by one: a burst that was rolled back, or a restored sequence.
postgres_test!(a_gap_of_a_hundred_thousand_numbers_is_passed, async |backend: &Postgres| {
    committed(backend, "a").await;
    let mut superuser = backend.superuser().await;
    sqlx::query("SELECT setval('changes_seq', 100000)").execute(&mut superuser).await.unwrap();
    committed(backend, "b").await;
    let store = backend.pg_store();
    assert_eq!(names(&complete(store, START).await), ["a", "b"]);
    sqlx::query("SELECT setval('changes_seq', 250000)").execute(&mut superuser).await.unwrap();
    let late = Writer::draws(backend, "late").await;
    committed(backend, "c").await;
    let page = changes(store, START).await;
    assert_eq!((names(&page), page.complete), (vec!["a", "b"], false));
    late.commits().await;
    assert_eq!(names(&complete(store, START).await), ["a", "b", "late", "c"]);
});

postgres_test!(two_readers_at_different_places_see_the_same, async |backend: &Postgres| {
    let store = backend.pg_store();
    for name in ["1", "2"] {
        committed(backend, name).await;
    }
    let two = changes(store, START).await.changes[1].seq;
    let late = Writer::draws(backend, "3").await;
    Writer::draws(backend, "dead").await.rolls_back().await;
    committed(backend, "5").await;
    assert_eq!(names(&changes(store, two).await), [""; 0]);
    assert_eq!(names(&changes(store, START).await), ["1", "2"]);
    late.commits().await;
    assert_eq!(names(&complete(store, two).await), ["3", "5"]);
    assert_eq!(names(&complete(store, START).await), ["1", "2", "3", "5"]);
    let limited = store.changes(START, 3).await.unwrap();
    assert_eq!((names(&limited), limited.complete), (vec!["1", "2", "3"], false), "cut by the limit");
});

postgres_test!(a_writer_in_another_database_holds_nothing_back, async |backend: &Postgres| {
    let Some(elsewhere) = Postgres::open().await else { return };
    let other = Writer::draws(&elsewhere, "elsewhere").await;
    Writer::draws(backend, "dead").await.rolls_back().await;
    committed(backend, "b").await;
    let page = changes(backend.pg_store(), START).await;
    assert_eq!((names(&page), page.complete), (vec!["b"], true));
    other.commits().await;
    elsewhere.store().close().await;
});

postgres_test!(writers_hold_the_feeds_lock_together, async |backend: &Postgres| {
    let one = Writer::draws(backend, "1").await;
    let drawn = tokio::time::timeout(Duration::from_secs(10), Writer::draws(backend, "2")).await;
    let two = drawn.expect("a second writer does not wait for the first");
    const HOLDERS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ShareLock' \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let mut superuser = backend.superuser().await;
    let holders: i64 = sqlx::query(HOLDERS).fetch_one(&mut superuser).await.unwrap().get(0);
    assert_eq!(holders, 2);
    two.commits().await;
    one.commits().await;
    assert_eq!(names(&complete(backend.pg_store(), START).await), ["1", "2"]);
});

postgres_test!(a_commit_of_one_replica_wakes_the_others, async |backend: &Postgres| {
    let other = backend.replica(|_| {}).await;
    let mut wake = other.wake();
    // The ear is opened in the background, and what came before it was open is not heard.
    eventually("the other replica is woken", || {
        let (store, wake) = (backend.store(), &mut wake);
        let tenant = tenant(&format!("t-{}", store::testing::fixtures::next_uuid().simple()));
        let woken = wake.has_changed().unwrap();
        async move {
            create(&store, &tenant).await.unwrap();
            woken
        }
    })
    .await;
    other.close().await;
});

postgres_test!(a_storm_of_writers_is_followed_without_a_gap, async |backend: &Postgres| {
    const WRITERS: u64 = 12;
    const EACH: u64 = 25;
    let mut connections = Vec::new();
    for _ in 0..WRITERS {
        connections.push(Writer::new(backend).await);
    }
    // It follows before the first of them writes.
    let follower = backend.replica(|_| {}).await;
    let following = Arc::clone(&follower);
    let (ended, mut is_ended) = tokio::sync::watch::channel(false);
    let follow = tokio::spawn(async move {
        let (mut wake, mut after, mut seen) = (following.wake(), START, Vec::<(i64, String)>::new());
        loop {
            let over = *is_ended.borrow();
            let page = following.changes(after, 20).await.unwrap();
            after = page.changes.last().map_or(after, |change| change.seq);
            let is_empty = page.changes.is_empty();
            seen.extend(page.changes.into_iter().map(|change| (change.seq.0, change.change.id)));
            if over && page.complete && is_empty {
                return seen;
            }
            if is_empty {
                tokio::select! {
                    _ = wake.changed() => {}
                    _ = is_ended.changed(), if !over => {}
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                }
            }
        }
    });
    let mut writers = Vec::new();
    for (writer, mut writing) in (0..WRITERS).zip(connections) {
        writers.push(tokio::spawn(async move {
            // A small generator of its own: the order is to differ between writers, not between runs.
            let mut state = writer * 7919 + 17;
            let mut random = move |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let mut kept = Vec::new();
            for number in 0..EACH {
                let name = format!("{writer}-{number}");
                writing.run("BEGIN").await;
                writing.append(&name).await;
                tokio::time::sleep(Duration::from_millis(random(12))).await;
                if random(4) == 0 {
                    writing.run("ROLLBACK").await;
                } else {
                    writing.run("COMMIT").await;
                    kept.push(name);
                }
            }
            kept
        }));
    }
    let mut kept = Vec::new();
    for writer in writers {
        kept.extend(writer.await.unwrap());
    }
    ended.send(true).unwrap();
    let seen = tokio::time::timeout(Duration::from_secs(30), follow).await.expect("the follower ends").unwrap();
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order, each once");
    let mut seen: Vec<String> = seen.into_iter().map(|(_, name)| name).collect();
    seen.sort();
    kept.sort();
    assert_eq!(seen, kept);
    follower.close().await;
});

postgres_test!(the_feed_is_followed_while_requests_hold_all_their_connections, async |backend: &Postgres| {
    let replica = backend.replica(|settings| settings.max_connections = 2).await;
    let mut requests = Vec::new();
    for _ in 0..2 {
        requests.push(replica.begin(store::Scope::Platform).await.unwrap());
    }
    let mut wake = replica.wake();
    wake.mark_unchanged();
    create(&backend.store(), &tenant("acme")).await.unwrap();
    let soon = Duration::from_secs(4);
    // Heard of, read, and told where the feed ends: none of it waits for a request.
    tokio::time::timeout(soon, wake.changed()).await.expect("the replica hears of it").unwrap();
    let page = tokio::time::timeout(soon, replica.changes(START, 10)).await.expect("the feed is read").unwrap();
    assert_eq!((page.changes.len(), page.complete), (1, true));
    let head = tokio::time::timeout(soon, replica.head()).await.expect("the head is read").unwrap();
    assert_eq!(head, page.changes[0].seq);
    drop(requests);
    replica.close().await;
});

#[tokio::test]
async fn a_dead_connection_is_no_reader_of_the_feed() {
    let Some(backend) = or_skip::<Postgres>("postgres_feed::a_dead_connection_is_no_reader_of_the_feed").await else {
        return;
    };
    committed(&backend, "a").await;
    // All the store's idle connections go; the next calls may say so, and then it goes on by itself.
    let mut superuser = PgConnection::connect(&backend.superuser_url()).await.unwrap();
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::query(sql).execute(&mut superuser).await.unwrap();
    let store = backend.pg_store();
    eventually("the store reads again", || async { store.changes(START, 10).await.is_ok_and(|page| page.complete) })
        .await;
    store.close().await;
}
