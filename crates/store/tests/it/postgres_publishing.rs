//! Events that are published at once, on a PostgreSQL that cuts connections, waits, or only reads.
//!
//! The statement commits by itself, so nobody learns of a broken connection before it. Invariant: what was acknowledged is
//! stored once, and what failed by a word of the server not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use domain::EventId;
use sqlx::{AssertSqlSafe, PgConnection};
use store::postgres::{PgSettings, PgStore};
use store::testing::fixtures::{event, first};
use store::testing::{Backend as _, Postgres};
use store::{AuditFilter, Scope, Store, StoreError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::postgres_test;

/// What the store's own connections are to the superuser's.
const OTHERS: &str = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";

async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn cut(conn: &mut PgConnection) {
    run(conn, &format!("SELECT pg_terminate_backend(pid) {OTHERS}")).await;
}

async fn stored(backend: &Postgres) -> Vec<EventId> {
    let mut view = backend.store().read(Scope::Platform).await.unwrap();
    let events = view.list_audit_events(&AuditFilter::default(), first(100)).await.unwrap();
    events.iter().map(|event| event.id).collect()
}

/// As many idle connections as there are views at once.
async fn idle(store: &dyn Store, count: usize) {
    let mut views = Vec::new();
    for _ in 0..count {
        views.push(store.read(Scope::Platform).await.unwrap());
    }
}

postgres_test!(idle_connections_that_were_cut_cost_no_event, async |backend: &Postgres| {
    let store = backend.store();
    idle(&*store, 5).await;
    cut(&mut backend.superuser().await).await;
    let one = event("one");
    store.publisher().publish(std::slice::from_ref(&one)).await.unwrap();
    assert_eq!(stored(backend).await, [one.id]);
});

postgres_test!(a_statement_that_is_cut_off_is_sent_again, async |backend: &Postgres| {
    let mut superuser = backend.superuser().await;
    run(&mut superuser, "BEGIN; LOCK TABLE audit_events").await;
    let (one, store) = (event("one"), backend.store());
    let events = vec![one.clone()];
    let publishing = tokio::spawn(async move { store.publisher().publish(&events).await });
    for _ in 0..2 {
        backend.until_somebody_waits().await;
        cut(&mut superuser).await;
    }
    backend.until_somebody_waits().await;
    run(&mut superuser, "COMMIT").await;
    publishing.await.unwrap().unwrap();
    assert_eq!(stored(backend).await, [one.id]);
});

postgres_test!(an_answer_that_is_lost_stores_nothing_twice, async |backend: &Postgres| {
    let (proxied, lost) = losing_answers(backend, "planted").await;
    let events = [event("planted"), event("other")];
    proxied.publisher().publish(&events).await.unwrap();
    assert_eq!(lost.load(Ordering::SeqCst), 1, "the answer was lost");
    let mut ids = stored(backend).await;
    ids.sort();
    assert_eq!(ids, [events[0].id, events[1].id]);
    proxied.close().await;
});

postgres_test!(what_is_given_up_leaves_its_publisher_usable, async |backend: &Postgres| {
    let (mut superuser, mut publisher) = (backend.superuser().await, backend.store().publisher());
    publisher.publish(&[event("before")]).await.unwrap();
    run(&mut superuser, "BEGIN; LOCK TABLE audit_events").await;
    let given_up = tokio::time::timeout(Duration::from_millis(100), publisher.publish(&[event("given up")])).await;
    assert!(given_up.is_err(), "{given_up:?}");
    run(&mut superuser, "COMMIT").await;
    let after = event("after");
    publisher.publish(std::slice::from_ref(&after)).await.unwrap();
    assert!(stored(backend).await.contains(&after.id));
});

postgres_test!(publishers_that_never_rest_share_a_connection, async |backend: &Postgres| {
    let store = backend.replica(|settings| settings.max_connections = 1).await;
    let is_over = AtomicBool::new(false);
    let busy = async {
        let mut publisher = store.publisher();
        while !is_over.load(Ordering::SeqCst) {
            publisher.publish(&[event("busy")]).await.unwrap();
        }
    };
    let other = async {
        for _ in 0..3 {
            store.publisher().publish(&[event("other")]).await.unwrap();
            store.read(Scope::Platform).await.unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(busy, other);
    store.close().await;
});

postgres_test!(limits_of_time_leave_nothing_behind, async |backend: &Postgres| {
    for (statement, lock, sqlstate) in [(10_000, 200, "55P03"), (300, 10_000, "57014")] {
        let impatient = backend
            .replica(|settings| {
                settings.statement_timeout = Duration::from_millis(statement);
                settings.lock_timeout = Duration::from_millis(lock);
            })
            .await;
        let mut superuser = backend.superuser().await;
        run(&mut superuser, "BEGIN; LOCK TABLE audit_events").await;
        let outcome = impatient.publisher().publish(&[event("late")]).await;
        assert!(matches!(&outcome, Err(StoreError::Timeout(text)) if text.contains(sqlstate)), "{outcome:?}");
        run(&mut superuser, "COMMIT").await;
        assert_eq!(stored(backend).await, []);
        impatient.publisher().publish(&[]).await.unwrap();
        impatient.close().await;
    }
});

postgres_test!(a_server_that_only_reads_is_unavailable, async |backend: &Postgres| {
    let (mut superuser, store) = (backend.superuser().await, backend.store());
    // What holds for new connections only, so the others go.
    let all =
        |what: &str| format!("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {what}', current_database()); END $$");
    run(&mut superuser, &all("SET default_transaction_read_only = on")).await;
    cut(&mut superuser).await;
    let outcome = store.publisher().publish(&[event("one")]).await;
    assert!(matches!(&outcome, Err(StoreError::Unavailable(text)) if text.contains("25006")), "{outcome:?}");
    run(&mut superuser, "SET default_transaction_read_only = off").await;
    run(&mut superuser, &all("RESET default_transaction_read_only")).await;
    cut(&mut superuser).await;
    let two = event("two");
    store.publisher().publish(std::slice::from_ref(&two)).await.unwrap();
    assert_eq!(stored(backend).await, [two.id]);
});

/// A store behind a proxy that cuts the connection once PostgreSQL has answered what first mentions `word`; and how many
/// answers were lost.
async fn losing_answers(backend: &Postgres, word: &'static str) -> (Arc<PgStore>, Arc<AtomicUsize>) {
    let mut url: url::Url = backend.service_url().parse().unwrap();
    let server = (url.host_str().unwrap().to_owned(), url.port().unwrap_or(5432));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    let lost = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lost);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(server.clone()).await.unwrap();
            tokio::spawn(pass_on(client, server, word, Arc::clone(&count)));
        }
    });
    (Arc::new(PgStore::connect(PgSettings::new(url.as_str())).await.unwrap()), lost)
}

async fn pass_on(mut client: TcpStream, mut server: TcpStream, word: &'static str, lost: Arc<AtomicUsize>) {
    let (mut question, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
    let mut cuts = false;
    loop {
        tokio::select! {
            length = client.read(&mut question) => {
                let Ok(length @ 1..) = length else { return };
                let said = &question[..length];
                cuts |= lost.load(Ordering::SeqCst) == 0 && said.windows(word.len()).any(|part| part == word.as_bytes());
                if server.write_all(said).await.is_err() { return }
            }
            length = server.read(&mut answer) => {
                let Ok(length @ 1..) = length else { return };
                if cuts {
                    lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if client.write_all(&answer[..length]).await.is_err() { return }
            }
        }
    }
}
