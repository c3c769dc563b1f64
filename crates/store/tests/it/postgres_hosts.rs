//! Several hosts, hosts that go away, and limits of time: how the store behaves when PostgreSQL does not.
//!
//! Servers that are killed here are this file's own. Invariant: the store comes back by itself, without a restart, and what
//! was acknowledged before is there.

use std::sync::Arc;
use std::time::Duration;

use domain::{ChangeSeq, Nesting, Tenant};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use store::migrate::{MigrationError, Target, up};
use store::postgres::{Hosts, PgSettings, PgStore, roles};
use store::testing::fixtures::{create, eventually, stored, tenant};
use store::testing::postgres::{Cluster, binaries_found, is_short_run};
use store::testing::{Backend as _, Postgres, note_skipped};
use store::{Scope, Store, StoreError};

use crate::support::postgres_test;

/// A server of this test's own; none when the run leaves PostgreSQL out, or has it on another machine only.
async fn own_cluster(name: &str) -> Option<Cluster> {
    if is_short_run() {
        note_skipped(name);
        return None;
    }
    if !binaries_found() && std::env::var_os("TEST_POSTGRES_URL").is_some() {
        eprintln!("{name} needs a server of its own, and the programs of PostgreSQL are not on this machine");
        return None;
    }
    // What survives a kill is the point, so this server waits for the disk.
    Some(tokio::task::spawn_blocking(Cluster::start).await.unwrap())
}

async fn run(url: &str, sql: &str) {
    let mut conn = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    conn.close().await.unwrap();
}

/// A migrated database of this name, with the login `service`.
async fn prepare(cluster: &Cluster) {
    run(&cluster.superuser_url("postgres"), "CREATE DATABASE registry").await;
    up(&Target::Postgres(cluster.superuser_url("registry").into())).await.unwrap();
    let login = format!("CREATE ROLE service LOGIN NOINHERIT; GRANT {}, {} TO service", roles::PLATFORM, roles::TENANT);
    run(&cluster.superuser_url("registry"), &login).await;
}

fn url(ports: &[u16]) -> String {
    let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("postgres://service@{}/registry", hosts.join(","))
}

async fn connect(url: String) -> Arc<dyn Store> {
    Arc::new(PgStore::connect(PgSettings::new(url)).await.unwrap())
}

/// A port at which nobody listens.
fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Stores a tenant as soon as the store can.
async fn create_soon(store: &Arc<dyn Store>, slug: &str) -> Tenant {
    let tenant = tenant(slug);
    eventually("the store writes", || async {
        match create(store, &tenant).await {
            Ok(()) => true,
            // The answer to an earlier commit was lost with the connection, and it had been kept.
            Err(StoreError::Conflict(_)) => true,
            Err(StoreError::Unavailable(_) | StoreError::Timeout(_)) => false,
            Err(other) => panic!("{other}"),
        }
    })
    .await;
    tenant
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_that_comes_back_is_used_again() {
    let Some(mut cluster) = own_cluster("a_killed_server_that_comes_back_is_used_again").await else { return };
    prepare(&cluster).await;
    let store = connect(url(&[cluster.port()])).await;
    let before = create_soon(&store, "before").await;
    let mut view = store.read(Scope::Platform).await.unwrap();
    view.get_tenant(before.id).await.unwrap();

    cluster = tokio::task::spawn_blocking(move || {
        cluster.kill_9();
        cluster
    })
    .await
    .unwrap();
    let outcome = view.get_tenant(before.id).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    for outcome in [create(&store, &tenant("lost")).await, store.check().await.map(drop), store.changes(ChangeSeq(0), 1).await.map(drop)] {
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    }

    cluster = tokio::task::spawn_blocking(move || {
        cluster.restart();
        cluster
    })
    .await
    .unwrap();
    let after = create_soon(&store, "after").await;
    for tenant in [&before, &after] {
        assert_eq!(stored(&store, tenant).await.unwrap().as_ref(), Some(tenant));
    }
    // The crash lost numbers of the sequence; the feed goes on behind them.
    eventually("the feed is complete", || async {
        store.changes(ChangeSeq(0), 10).await.is_ok_and(|page| page.complete && page.changes.len() == 2)
    })
    .await;
    // The ear for other replicas is open again as well.
    let other = connect(url(&[cluster.port()])).await;
    let mut wake = store.wake();
    let mut number = 0;
    eventually("another replica's commit wakes", || {
        number += 1;
        let (tenant, other) = (tenant(&format!("woken-{number}")), Arc::clone(&other));
        let woken = wake.has_changed().unwrap();
        wake.borrow_and_update();
        async move {
            create(&other, &tenant).await.unwrap();
            woken
        }
    })
    .await;
    store.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_hosts_the_writable_one_is_used_and_followed() {
    let Some(one) = own_cluster("of_several_hosts_the_writable_one_is_used_and_followed").await else { return };
    let two = tokio::task::spawn_blocking(|| Cluster::start_with(false)).await.unwrap();
    prepare(&one).await;
    prepare(&two).await;
    // Read-only is what a standby looks like to its clients.
    let read_only = "ALTER SYSTEM SET default_transaction_read_only = on";
    run(&two.superuser_url("registry"), read_only).await;
    run(&two.superuser_url("registry"), "SELECT pg_reload_conf()").await;
    let (down, hosts) = (closed_port(), [two.port(), one.port()]);
    let store = connect(url(&[down, hosts[0], hosts[1]])).await;
    create(&store, &tenant("on-one")).await.unwrap();
    let direct = connect(url(&[one.port()])).await;
    assert!(direct.read(Scope::Platform).await.unwrap().get_tenant_by_slug("on-one").await.unwrap().is_some());
    direct.close().await;

    // The one goes, the other is promoted: the store follows.
    let wake = store.wake();
    tokio::task::spawn_blocking(move || drop(one)).await.unwrap();
    let promote = "SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only";
    let mut conn = PgConnection::connect(&two.superuser_url("registry")).await.unwrap();
    for sql in promote.split("; ").chain(["SELECT pg_reload_conf()"]) {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    }
    let tenant = create_soon(&store, "on-two").await;
    assert_eq!(stored(&store, &tenant).await.unwrap(), Some(tenant));
    assert!(wake.has_changed().unwrap(), "whoever follows the feed looks again");
    store.close().await;
}

#[tokio::test]
async fn no_host_that_can_be_written_to_says_why_of_each() {
    if is_short_run() {
        return note_skipped("no_host_that_can_be_written_to_says_why_of_each");
    }
    let (one, two) = (closed_port(), closed_port());
    let error = PgStore::connect(PgSettings::new(url(&[one, two]))).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StoreError::Unavailable(_)), "{text}");
    for port in [one, two] {
        assert!(text.contains(&format!("127.0.0.1:{port}: ")), "{text}");
    }
}

#[track_caller]
fn check_hosts(url: &str, expected: Option<usize>) {
    assert_eq!(Hosts::parse(url).ok().map(|hosts| hosts.len()), expected, "{url}");
}

#[test]
fn connection_strings_name_one_host_or_several() {
    check_hosts("postgres://u:p@a:5432/db", Some(1));
    check_hosts("postgres://u:p@a:5432,b,c:1/db?sslmode=disable", Some(3));
    check_hosts("postgresql://a,b/db", Some(2));
    check_hosts("postgres://u:p%40ss@[::1]:5432,b/db", Some(2));
    check_hosts("postgres://u@a,b?application_name=x@y,z", Some(2));
    check_hosts("a,b", None);
    check_hosts("postgres://a:port/db", None);
    let error = Hosts::parse("postgres://u:hunter2@a:port/db").unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");
}

/// Somebody holds a slug; another waits for it, by these limits.
async fn check_timeout(backend: &Postgres, statement: u64, lock: u64, sqlstate: &str) {
    let mut holder = backend.store().begin(Scope::Platform).await.unwrap();
    holder.insert_tenant(&tenant("acme"), Nesting::Refused).await.unwrap();
    let impatient = backend
        .replica(|settings| {
            settings.statement_timeout = Duration::from_millis(statement);
            settings.lock_timeout = Duration::from_millis(lock);
        })
        .await;
    let mut tx = impatient.begin(Scope::Platform).await.unwrap();
    let outcome = tx.insert_tenant(&tenant("acme"), Nesting::Refused).await;
    assert!(matches!(&outcome, Err(StoreError::Timeout(text)) if text.contains(sqlstate)), "{outcome:?}");
    let outcome = tx.get_tenant_by_slug("acme").await;
    assert!(matches!(outcome, Err(StoreError::Finished)), "{outcome:?}");
    drop(tx);
    drop(holder);
    create(&(impatient.clone() as Arc<dyn Store>), &tenant(&format!("after-{statement}"))).await.unwrap();
    impatient.close().await;
}

postgres_test!(limits_of_time_are_timeouts, async |backend: &Postgres| {
    check_timeout(backend, 10_000, 200, "55P03").await;
    check_timeout(backend, 300, 10_000, "57014").await;
});

postgres_test!(two_workers_get_disjoint_ended_trials, async |backend: &Postgres| {
    use store::testing::fixtures::{later, now};
    let store = backend.store();
    for number in 0..6 {
        let mut tenant = tenant(&format!("t-{number}"));
        tenant.trial_ends_at = Some(later(-10 + number));
        create(&store, &tenant).await.unwrap();
    }
    let (mut one, mut two) = (store.begin(Scope::Platform).await.unwrap(), store.begin(Scope::Platform).await.unwrap());
    let slugs = |tenants: Vec<Tenant>| tenants.into_iter().map(|tenant| tenant.slug.to_string()).collect::<Vec<_>>();
    assert_eq!(slugs(one.lock_ended_trials(now(), 4).await.unwrap()), ["t-0", "t-1", "t-2", "t-3"]);
    assert_eq!(slugs(two.lock_ended_trials(now(), 4).await.unwrap()), ["t-4", "t-5"]);
    drop(one);
    eventually("the first worker's are free again", || async {
        let mut three = store.begin(Scope::Platform).await.unwrap();
        slugs(three.lock_ended_trials(now(), 9).await.unwrap()).len() == 4
    })
    .await;
});

/// Roles are the cluster's: whether they are missing can be tested on a server without them only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_who_may_not_make_roles_is_told_what_to_run() {
    let Some(cluster) = own_cluster("an_owner_who_may_not_make_roles_is_told_what_to_run").await else { return };
    run(&cluster.superuser_url("postgres"), "CREATE ROLE plain LOGIN").await;
    run(&cluster.superuser_url("postgres"), "CREATE DATABASE registry OWNER plain").await;
    let plain = cluster.superuser_url("registry").replacen("postgres@", "plain@", 1);
    let target = Target::Postgres(plain.into());
    let error = up(&target).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, MigrationError::Failed(_)), "{text}");
    assert!(text.contains("is missing and plain may not create roles"), "{text}");
    let (_, command) = text.split_once("Run as a role with CREATEROLE: ").unwrap_or_else(|| panic!("no command: {text}"));
    // What it says is what helps.
    run(&cluster.superuser_url("postgres"), command).await;
    let state = up(&target).await.unwrap();
    assert_eq!(state.current, state.wanted);
}
