//! A router while the world changes behind it: what is stale, what is invalidated, and what was under way meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use tenancy::{HostRouter, TenantId};
use tokio::time::{advance, sleep, timeout};

use crate::host_router::{ACME, Database, Mood, SECOND, acme, builder, is};

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_given_at_once_while_one_look_up_refreshes_it() {
    let database = Database::with(&[(ACME, "acme")]);
    let router = builder(&database).stale_while_refreshing(30 * SECOND).build();
    assert_eq!(router.resolve(ACME).await, is("acme"));
    database.set(ACME, Some("globex"));
    database.is(Mood::Slow(SECOND));
    advance(89 * SECOND).await;
    for _ in 0..10 {
        assert_eq!(router.resolve(ACME).now_or_never(), Some(is("acme")));
    }
    assert_eq!(router.cached(ACME), Some("acme".into()));
    sleep(2 * SECOND).await;
    assert_eq!(router.resolve(ACME).now_or_never(), Some(is("globex")));
    assert_eq!(database.asked(), 2);

    advance(90 * SECOND).await;
    assert_eq!(router.cached(ACME), None);
    assert_eq!(router.resolve(ACME).now_or_never(), None, "too old to be given while it is looked up");
}

#[tokio::test(start_paused = true)]
async fn without_the_option_nothing_stale_is_given() {
    let (database, router) = acme();
    assert_eq!(router.resolve(ACME).await, is("acme"));
    database.is(Mood::Down);
    advance(60 * SECOND).await;
    assert_eq!(router.cached(ACME), None);
    assert!(router.resolve(ACME).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_known_host_outlives_a_database_that_is_down_for_as_long_as_an_option_says() {
    let database = Database::with(&[(ACME, "acme")]);
    let router = builder(&database).stale_on_error(600 * SECOND).error_time_to_live(SECOND).build();
    assert_eq!(router.resolve(ACME).await, is("acme"));
    assert_eq!(router.resolve("new.example.com").await, Ok(None));
    database.is(Mood::Down);
    advance(659 * SECOND).await;
    assert_eq!(router.resolve(ACME).await, is("acme"));
    assert_eq!(router.resolve(ACME).now_or_never(), Some(is("acme")), "the error is kept, so nobody waits");
    assert!(router.resolve("new.example.com").await.is_err(), "unknown hosts have no such grace");

    advance(SECOND).await;
    assert!(router.resolve(ACME).await.is_err());
    database.is(Mood::Fine);
    advance(SECOND).await;
    assert_eq!(router.resolve(ACME).await, is("acme"));
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_is_not_given_when_the_database_is_down() {
    let database = Database::with(&[(ACME, "acme")]);
    let router = builder(&database).stale_on_error(600 * SECOND).lookup_timeout(SECOND).build();
    assert_eq!(router.resolve(ACME).await, is("acme"));
    advance(61 * SECOND).await;
    database.is(Mood::Slow(3600 * SECOND));
    let waits = router.resolve(ACME);
    let invalidates = async {
        sleep(SECOND / 2).await;
        router.invalidate(ACME);
    };
    let (answer, ()) = tokio::join!(waits, invalidates);
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_host_is_looked_up_again_known_or_not() {
    let (database, router) = acme();
    assert_eq!(router.resolve(ACME).await, is("acme"));
    assert_eq!(router.resolve("new.example.com").await, Ok(None));
    database.set(ACME, Some("globex"));
    database.set("new.example.com", Some("new"));
    router.invalidate("ACME.example.com.:443");
    router.invalidate("new.example.com");
    router.invalidate("no host");
    assert_eq!(router.resolve(ACME).await, is("globex"));
    assert_eq!(router.resolve("new.example.com").await, is("new"));

    router.invalidate_all();
    assert_eq!((router.stats().known, router.stats().unknown), (0, 0));
    let before = database.asked();
    assert_eq!(router.resolve(ACME).await, is("globex"));
    assert_eq!(database.asked(), before + 1);
}

/// What is under way when the host is invalidated is old news: it reaches those who wait for it and is not kept.
async fn check_overtaken(invalidate: impl Fn(&HostRouter<TenantId>)) {
    let (database, router) = acme();
    database.is(Mood::Slow(SECOND));
    let before = router.resolve(ACME);
    let after = async {
        sleep(SECOND / 2).await;
        database.set(ACME, Some("globex"));
        invalidate(&router);
        router.resolve(ACME).await
    };
    let (before, after) = tokio::join!(before, after);
    assert_eq!(before, is("acme"));
    assert_eq!(after, is("globex"));
    assert_eq!(router.cached(ACME), Some("globex".into()));
    assert_eq!((database.asked(), router.stats().lookups), (2, 0));

    // Also where nobody asks again before the old answer comes.
    router.invalidate(ACME);
    assert!(timeout(SECOND / 2, router.resolve(ACME)).await.is_err());
    invalidate(&router);
    sleep(SECOND).await;
    assert_eq!(router.cached(ACME), None);
    assert_eq!(router.stats().known, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_begun_before_an_invalidation_is_not_kept() {
    check_overtaken(|router| router.invalidate(ACME)).await;
    check_overtaken(HostRouter::invalidate_all).await;
}

/// Whoever asks after an invalidation sees nothing from before it, however the threads fall.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_sees_what_was_invalidated_before_they_asked() {
    let version = Arc::new(AtomicU64::new(0));
    let router = HostRouter::new({
        let version = Arc::clone(&version);
        move |_: Arc<str>| {
            let version = Arc::clone(&version);
            async move {
                let seen = version.load(Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok::<_, String>((seen % 5 != 4).then_some(seen))
            }
        }
    });
    let writer = tokio::spawn({
        let (router, version) = (router.clone(), Arc::clone(&version));
        let current = Arc::new(AtomicU64::new(0));
        async move {
            for number in 1..=500 {
                version.store(number, Ordering::SeqCst);
                if number % 7 == 0 {
                    router.invalidate_all()
                } else {
                    router.invalidate(ACME)
                }
                current.store(number, Ordering::SeqCst);
                let answer = router.resolve(ACME).await.unwrap();
                assert_eq!(answer, (number % 5 != 4).then_some(number));
            }
        }
    });
    let readers = (0..4).map(|_| {
        let (router, writer) = (router.clone(), writer.abort_handle());
        tokio::spawn(async move {
            let mut latest = 0;
            while !writer.is_finished() {
                if let Some(seen) = router.resolve(ACME).await.unwrap() {
                    assert!(seen >= latest, "{seen} after {latest}");
                    latest = seen;
                }
                tokio::task::yield_now().await;
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
    writer.await.unwrap();
    assert_eq!(router.stats().lookups, 0);
}
