//! What a router asks its database, and what it answers meanwhile. Time is paused: a test says how much of it passes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which clippy does not take for tests")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tenancy::{HostRouter, HostRouterBuilder, LookupError, Reason, TenantId};
use tokio::time::{advance, sleep, timeout};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const ACME: &str = "acme.example.com";

/// A database that answers slowly, fails when told to, and remembers what it was asked.
#[derive(Default)]
pub(crate) struct Database {
    tenants: Mutex<HashMap<String, TenantId>>,
    asked: Mutex<Vec<String>>,
    mood: Mutex<Mood>,
}

#[derive(Clone, Copy, Default)]
pub(crate) enum Mood {
    #[default]
    Fine,
    /// Answers what it found when it was asked, as late as this.
    Slow(Duration),
    Down,
    Panicking,
}

impl Database {
    pub(crate) fn with(hosts: &[(&str, &str)]) -> Arc<Self> {
        let database = Self::default();
        hosts.iter().for_each(|(host, tenant)| database.set(host, Some(tenant)));
        Arc::new(database)
    }

    pub(crate) fn set(&self, host: &str, tenant: Option<&str>) {
        let mut tenants = self.tenants.lock().unwrap();
        match tenant {
            Some(tenant) => tenants.insert(host.to_owned(), tenant.into()),
            None => tenants.remove(host),
        };
    }

    pub(crate) fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    async fn find(&self, host: Arc<str>) -> Result<Option<TenantId>, String> {
        self.asked.lock().unwrap().push(host.to_string());
        let found = self.tenants.lock().unwrap().get(&*host).cloned();
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Fine => Ok(found),
            Mood::Slow(time) => {
                sleep(time).await;
                Ok(found)
            }
            Mood::Down => Err("cannot reach postgres://app:hunter2@db".to_owned()),
            Mood::Panicking => panic!("no connection to postgres://app:hunter2@db"),
        }
    }
}

pub(crate) fn builder(database: &Arc<Database>) -> HostRouterBuilder<TenantId> {
    let database = Arc::clone(database);
    HostRouter::builder(move |host: Arc<str>| {
        let database = Arc::clone(&database);
        async move { database.find(host).await }
    })
    .time_to_live(60 * SECOND)
    .unknown_time_to_live(5 * SECOND)
}

pub(crate) fn acme() -> (Arc<Database>, HostRouter<TenantId>) {
    let database = Database::with(&[(ACME, "acme")]);
    let router = builder(&database).build();
    (database, router)
}

/// Lets tasks run that wait for nothing.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn is(id: &str) -> Result<Option<TenantId>, LookupError> {
    Ok(Some(id.into()))
}

#[tokio::test(start_paused = true)]
async fn a_known_host_is_looked_up_once_in_its_time() {
    let (database, router) = acme();
    assert_eq!(router.resolve(ACME).await, is("acme"));
    database.set(ACME, Some("globex"));
    advance(59 * SECOND).await;
    assert_eq!(router.resolve(ACME).await, is("acme"));
    assert_eq!(database.asked(), 1);

    advance(SECOND).await;
    assert_eq!(router.resolve(ACME).await, is("globex"));
    assert_eq!(database.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn asking_does_not_make_an_answer_live_longer() {
    let (database, router) = acme();
    for _ in 0..120 {
        assert_eq!(router.resolve(ACME).await, is("acme"));
        advance(SECOND).await;
    }
    assert_eq!(database.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_miss_is_kept_for_its_own_shorter_time() {
    let (database, router) = acme();
    assert_eq!(router.resolve("new.example.com").await, Ok(None));
    database.set("new.example.com", Some("new"));
    advance(4 * SECOND).await;
    assert_eq!(router.resolve("new.example.com").await, Ok(None));
    assert_eq!(database.asked(), 1);
    advance(SECOND).await;
    assert_eq!(router.resolve("new.example.com").await, is("new"));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_vanished_is_unknown_once_it_was_looked_up() {
    let (database, router) = acme();
    assert_eq!(router.resolve(ACME).await, is("acme"));
    database.set(ACME, None);
    advance(60 * SECOND).await;
    assert_eq!(router.resolve(ACME).await, Ok(None));
    assert_eq!(router.stats().known, 0);
    database.set(ACME, Some("acme"));
    advance(5 * SECOND).await;
    assert_eq!(router.resolve(ACME).await, is("acme"));
    assert_eq!(router.stats().unknown, 0);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_hosts_displaces_no_known_one_and_is_bounded() {
    let database = Database::with(&[(ACME, "acme")]);
    let router = builder(&database).capacity(10).unknown_capacity(100).error_time_to_live(SECOND).build();
    assert_eq!(router.resolve(ACME).await, is("acme"));
    for number in 0..5_000 {
        assert_eq!(router.resolve(&format!("{number}.example.org")).await, Ok(None));
    }
    let stats = router.stats();
    assert!((50..=200).contains(&stats.unknown), "{stats:?}");
    assert_eq!((stats.known, stats.lookups), (1, 0));

    let before = database.asked();
    assert_eq!(router.resolve(ACME).await, is("acme"));
    assert_eq!(database.asked(), before);
}

#[tokio::test(start_paused = true)]
async fn known_hosts_are_bounded_too() {
    let database = Arc::new(Database::default());
    let router = builder(&database).capacity(100).build();
    for number in 0..2_000 {
        let host = format!("{number}.example.com");
        database.set(&host, Some("acme"));
        assert_eq!(router.resolve(&host).await, is("acme"));
    }
    assert!((50..=200).contains(&router.stats().known), "{:?}", router.stats());
}

#[tokio::test(start_paused = true)]
async fn a_host_is_looked_up_once_however_many_ask_at_once() {
    let (database, router) = acme();
    database.is(Mood::Slow(SECOND));
    let answers = join_all((0..100).map(|_| router.resolve(ACME))).await;
    assert!(answers.iter().all(|answer| *answer == is("acme")));
    assert_eq!(database.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn different_hosts_do_not_wait_for_each_other() {
    let (database, router) = acme();
    database.is(Mood::Slow(SECOND));
    let hosts: Vec<_> = (0..100).map(|number| format!("{number}.example.com")).collect();
    let all = join_all(hosts.iter().map(|host| router.resolve(host)));
    assert!(timeout(SECOND + SECOND / 10, all).await.is_ok());
    assert_eq!(database.asked(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_neither_fails_nor_stalls_the_others() {
    let (database, router) = acme();
    database.is(Mood::Slow(SECOND));
    let first = tokio::spawn({
        let router = router.clone();
        async move { router.resolve(ACME).await }
    });
    settle().await;
    assert_eq!(router.stats().lookups, 1);
    let second = router.resolve(ACME);
    let leaves = async {
        sleep(SECOND / 2).await;
        first.abort();
    };
    let (answer, ()) = tokio::join!(timeout(2 * SECOND, second), leaves);
    assert_eq!(answer, Ok(is("acme")));
    assert_eq!(database.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_everybody_left_is_kept_all_the_same() {
    let (database, router) = acme();
    database.is(Mood::Slow(SECOND));
    assert!(timeout(SECOND / 2, router.resolve(ACME)).await.is_err());
    sleep(SECOND).await;
    assert_eq!(router.cached(ACME), Some("acme".into()));
    assert_eq!((database.asked(), router.stats().lookups), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_error_for_all_who_wait_and_poisons_nothing() {
    let (database, router) = acme();
    database.is(Mood::Panicking);
    let (one, other) = tokio::join!(router.resolve(ACME), router.resolve(ACME));
    let reason = Reason::from("no connection to postgres://app:hunter2@db");
    assert_eq!(one, Err(LookupError::Panicked { reason }));
    assert_eq!(one, other);
    assert_eq!(database.asked(), 1);

    database.is(Mood::Fine);
    assert_eq!(router.resolve(ACME).await, is("acme"));
}

#[tokio::test(start_paused = true)]
async fn a_look_up_may_panic_before_it_gives_a_future() {
    let calls = AtomicUsize::new(0);
    let router = HostRouter::new(move |_: Arc<str>| {
        assert!(calls.fetch_add(1, Ordering::Relaxed) > 0, "not yet");
        async { Ok::<_, String>(Some("acme")) }
    });
    assert!(matches!(router.resolve(ACME).await, Err(LookupError::Panicked { .. })));
    assert_eq!(router.resolve(ACME).await, Ok(Some("acme")));
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_takes_too_long_is_given_up() {
    let database = Database::with(&[(ACME, "acme")]);
    let router = builder(&database).lookup_timeout(2 * SECOND).build();
    database.is(Mood::Slow(3600 * SECOND));
    let answer = timeout(2 * SECOND + SECOND / 10, router.resolve(ACME)).await;
    assert_eq!(answer, Ok(Err(LookupError::TimedOut { limit: 2 * SECOND })));
    assert_eq!(router.stats().lookups, 0);
    database.is(Mood::Fine);
    assert_eq!(router.resolve(ACME).await, is("acme"));
}

#[tokio::test(start_paused = true)]
async fn errors_are_told_to_all_who_wait_and_not_kept() {
    let (database, router) = acme();
    database.is(Mood::Down);
    let (one, other) = tokio::join!(router.resolve(ACME), router.resolve(ACME));
    // A reason, and so without the credentials in it.
    assert_eq!(one, Err(LookupError::Failed { reason: Reason::from("cannot reach postgres://app:hunter2@db") }));
    assert_eq!(one, other);
    assert_eq!(database.asked(), 1);
    database.is(Mood::Fine);
    assert_eq!(router.resolve(ACME).await, is("acme"));
}

#[tokio::test(start_paused = true)]
async fn errors_are_kept_for_as_long_as_an_option_says() {
    let database = Database::with(&[(ACME, "acme")]);
    let router = builder(&database).error_time_to_live(SECOND).build();
    database.is(Mood::Down);
    let error = router.resolve(ACME).await;
    database.is(Mood::Fine);
    assert_eq!(router.resolve(ACME).await, error);
    assert_eq!(database.asked(), 1);
    advance(SECOND).await;
    assert_eq!(router.resolve(ACME).await, is("acme"));

    advance(60 * SECOND).await;
    database.is(Mood::Down);
    assert!(router.resolve(ACME).await.is_err());
    router.invalidate(ACME);
    database.is(Mood::Fine);
    assert_eq!(router.resolve(ACME).await, is("acme"), "an invalidated host is looked up whatever came of it before");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_host_is_a_miss_that_nobody_looks_up() {
    let (database, router) = acme();
    for host in ["", "a b", "acme.example.com/x", "a..b", "*.example.com", "acme.example.com:port", &"a".repeat(5_000)]
    {
        assert_eq!(router.resolve(host).await, Ok(None), "{host}");
        assert_eq!(router.cached(host), None);
    }
    assert_eq!((database.asked(), router.stats().unknown), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn spellings_of_one_host_are_one_entry_and_the_database_sees_the_normal_form() {
    let (database, router) = acme();
    for host in ["ACME.example.com", "acme.example.com.", "acme.example.com:8443", "user@acme.example.com", ACME] {
        assert_eq!(router.resolve(host).await, is("acme"));
    }
    assert_eq!(*database.asked.lock().unwrap(), [ACME]);
}

#[tokio::test(start_paused = true)]
async fn limits_may_be_nothing_or_everything() {
    let database = Database::with(&[(ACME, "acme")]);
    let nothing = builder(&database).capacity(0).unknown_capacity(0).build();
    let no_time = builder(&database).time_to_live(Duration::ZERO).unknown_time_to_live(Duration::ZERO).build();
    for router in [nothing, no_time] {
        let before = database.asked();
        for _ in 0..2 {
            assert_eq!(router.resolve(ACME).await, is("acme"));
            assert_eq!(router.resolve("new.example.com").await, Ok(None));
        }
        assert_eq!(database.asked(), before + 4);
        assert_eq!(router.stats().unknown, 0);
    }

    let everything = builder(&database)
        .capacity(usize::MAX)
        .unknown_capacity(usize::MAX)
        .time_to_live(Duration::MAX)
        .unknown_time_to_live(Duration::MAX)
        .stale_while_refreshing(Duration::MAX)
        .stale_on_error(Duration::MAX)
        .error_time_to_live(Duration::MAX)
        .lookup_timeout(Duration::MAX)
        .build();
    assert_eq!(everything.resolve(ACME).await, is("acme"));
    advance(1_000_000 * SECOND).await;
    assert_eq!(everything.resolve(ACME).now_or_never(), Some(is("acme")));
}

#[test]
fn what_is_kept_needs_no_runtime_and_a_runtime_that_ended_leaves_nothing_behind() {
    let (database, router) = acme();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    database.is(Mood::Slow(SECOND));
    let first = runtime();
    first.block_on(async { assert!(timeout(SECOND / 2, router.resolve(ACME)).await.is_err()) });
    assert_eq!(router.stats().lookups, 1);
    drop(first);
    assert_eq!(router.stats().lookups, 0);

    assert_eq!(runtime().block_on(router.resolve(ACME)), is("acme"));
    assert_eq!(router.resolve(ACME).now_or_never(), Some(is("acme")));
    assert_eq!(database.asked(), 2);
}
