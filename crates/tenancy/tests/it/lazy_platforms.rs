//! When a platform is built, who hears of a failure, and which platforms leave. Time is paused: a test says how much passes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which clippy does not take for tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tenancy::{BuildError, Eviction, LazyPlatforms, LazyPlatformsBuilder, Reason, TenantId};
use tokio::time::{advance, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// What is built: whose, and which build of all it was.
#[derive(Debug, PartialEq)]
struct App {
    tenant: TenantId,
    build: usize,
}

/// A factory that takes its time, fails when told to, and remembers what it built.
#[derive(Default)]
struct Factory {
    built: Mutex<Vec<String>>,
    mood: Mutex<Mood>,
    left: Mutex<Vec<(String, usize, Eviction)>>,
}

#[derive(Clone, Copy, Default)]
enum Mood {
    #[default]
    Quick,
    Slow(Duration),
    Broken,
    Panicking,
}

impl Factory {
    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn builds(&self) -> usize {
        self.built.lock().unwrap().len()
    }

    /// Who left since this was asked last: whose, which build, and why.
    fn left(&self) -> Vec<(String, usize, Eviction)> {
        std::mem::take(&mut *self.left.lock().unwrap())
    }

    async fn build(&self, tenant: TenantId) -> Result<App, String> {
        let build = {
            let mut built = self.built.lock().unwrap();
            built.push(tenant.to_string());
            built.len()
        };
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Quick => {}
            Mood::Slow(time) => sleep(time).await,
            Mood::Broken => return Err("cannot reach postgres://app:hunter2@db".to_owned()),
            Mood::Panicking => panic!("no settings of {tenant} at postgres://app:hunter2@db"),
        }
        Ok(App { tenant, build })
    }
}

fn builder(factory: &Arc<Factory>) -> LazyPlatformsBuilder<App> {
    let (builds, hears) = (Arc::clone(factory), Arc::clone(factory));
    LazyPlatforms::builder(move |id| {
        let factory = Arc::clone(&builds);
        async move { factory.build(id).await }
    })
    .on_evict(move |id, app: Arc<App>, why| {
        assert_eq!(*id, app.tenant);
        hears.left.lock().unwrap().push((id.to_string(), app.build, why));
    })
}

fn platforms() -> (Arc<Factory>, LazyPlatforms<App>) {
    let factory = Arc::new(Factory::default());
    let platforms = builder(&factory).build();
    (factory, platforms)
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn left(id: &str, build: usize, why: Eviction) -> (String, usize, Eviction) {
    (id.to_owned(), build, why)
}

#[tokio::test(start_paused = true)]
async fn a_platform_is_built_once_however_many_first_requests_come_at_once() {
    let (factory, platforms) = platforms();
    factory.is(Mood::Slow(SECOND));
    assert!(platforms.get("acme").is_none());
    let apps = join_all((0..100).map(|_| platforms.get_or_build("acme"))).await;
    let first = apps[0].clone().unwrap();
    assert!(apps.iter().all(|app| app.as_ref().is_ok_and(|app| Arc::ptr_eq(app, &first))));
    assert!(platforms.get("acme").is_some_and(|app| Arc::ptr_eq(&app, &first)));
    assert!(Arc::ptr_eq(&platforms.get_or_build(TenantId::from("acme")).await.unwrap(), &first));
    assert_eq!((factory.builds(), platforms.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn different_tenants_are_built_at_once() {
    let (factory, platforms) = platforms();
    factory.is(Mood::Slow(SECOND));
    let all = join_all((0..50).map(|number| platforms.get_or_build(number.to_string())));
    assert!(timeout(2 * SECOND, all).await.unwrap().iter().all(Result::is_ok));
    assert_eq!((factory.builds(), platforms.len()), (50, 50));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_capacity_the_one_leaves_that_was_asked_for_longest_ago() {
    let factory = Arc::new(Factory::default());
    let platforms = builder(&factory).capacity(3).build();
    for id in ["a", "b", "c"] {
        platforms.get_or_build(id).await.unwrap();
    }
    assert!(platforms.get("a").is_some());
    platforms.get_or_build("b").await.unwrap();
    platforms.get_or_build("d").await.unwrap();
    assert_eq!(factory.left(), [left("c", 3, Eviction::Capacity)]);
    platforms.get_or_build("e").await.unwrap();
    assert_eq!(factory.left(), [left("a", 1, Eviction::Capacity)]);
    assert_eq!(platforms.len(), 3);
    assert!(platforms.get("b").is_some() && platforms.get("a").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_capacity_of_nothing_builds_every_time() {
    let factory = Arc::new(Factory::default());
    let platforms = builder(&factory).capacity(0).build();
    for build in 1..=2 {
        assert_eq!(platforms.get_or_build("acme").await.unwrap().build, build);
        settle().await;
        assert_eq!(factory.left(), [left("acme", build, Eviction::Capacity)]);
    }
    assert!(platforms.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_nobody_asks_for_leaves_by_itself() {
    let factory = Arc::new(Factory::default());
    let platforms = builder(&factory).time_to_idle(60 * SECOND).build();
    platforms.get_or_build("acme").await.unwrap();
    sleep(30 * SECOND).await;
    platforms.get_or_build("globex").await.unwrap();
    assert!(platforms.get("acme").is_some());
    sleep(59 * SECOND).await;
    assert_eq!((factory.left(), platforms.len()), (vec![], 2));
    assert!(platforms.get("globex").is_some());
    sleep(2 * SECOND).await;
    assert_eq!(factory.left(), [left("acme", 1, Eviction::Idle)]);
    assert_eq!(platforms.len(), 1);
    sleep(60 * SECOND).await;
    assert_eq!(factory.left(), [left("globex", 2, Eviction::Idle)]);

    // Nobody sweeps an empty shelf, and somebody does again once it is not.
    platforms.get_or_build("acme").await.unwrap();
    sleep(61 * SECOND).await;
    assert_eq!(factory.left(), [left("acme", 3, Eviction::Idle)]);
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_is_too_old_leaves_however_much_it_is_used() {
    let factory = Arc::new(Factory::default());
    let platforms = builder(&factory).time_to_idle(10 * SECOND).time_to_live(60 * SECOND).build();
    for _ in 0..12 {
        assert_eq!(platforms.get_or_build("acme").await.unwrap().build, 1);
        sleep(5 * SECOND).await;
    }
    assert_eq!(platforms.get_or_build("acme").await.unwrap().build, 2);
    assert_eq!(factory.left(), [left("acme", 1, Eviction::Age)]);
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_is_too_old_leaves_by_itself() {
    let factory = Arc::new(Factory::default());
    let platforms = builder(&factory).time_to_live(60 * SECOND).build();
    platforms.get_or_build("acme").await.unwrap();
    sleep(61 * SECOND).await;
    assert_eq!(factory.left(), [left("acme", 1, Eviction::Age)]);
}

#[tokio::test(start_paused = true)]
async fn what_outlived_its_time_is_not_given_out_before_it_is_swept() {
    let factory = Arc::new(Factory::default());
    let platforms = builder(&factory).time_to_idle(60 * SECOND).time_to_live(3600 * SECOND).build();
    platforms.get_or_build("acme").await.unwrap();
    // Time passes and no task gets to run.
    let passes = advance(60 * SECOND);
    tokio::pin!(passes);
    let _ = passes.as_mut().now_or_never();
    assert!(platforms.get("acme").is_none());
    assert_eq!(platforms.get_or_build("acme").await.unwrap().build, 2);
    settle().await;
    assert_eq!(factory.left(), [left("acme", 1, Eviction::Idle)]);
}

#[tokio::test(start_paused = true)]
async fn an_evicted_platform_lives_as_long_as_somebody_holds_it() {
    let platforms = LazyPlatforms::builder(|id: TenantId| async move { Ok::<_, String>(id) }).capacity(1).build();
    let held = platforms.get_or_build("acme").await.unwrap();
    let seen = Arc::downgrade(&held);
    platforms.get_or_build("globex").await.unwrap();
    settle().await;
    assert!(platforms.get("acme").is_none());
    assert_eq!((&**held, seen.strong_count()), ("acme", 1));
    drop(held);
    assert!(seen.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_everybody_who_waits_and_is_not_kept() {
    let (factory, platforms) = platforms();
    factory.is(Mood::Broken);
    let (one, other) = tokio::join!(platforms.get_or_build("acme"), platforms.get_or_build("acme"));
    // A reason, and so without the credentials in it.
    assert_eq!(one, Err(BuildError::Failed { reason: Reason::from("cannot reach postgres://app:hunter2@db") }));
    assert_eq!(one, other);
    assert_eq!((factory.builds(), platforms.len()), (1, 0));

    factory.is(Mood::Quick);
    assert_eq!(platforms.get_or_build("acme").await.unwrap().build, 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_repeated_for_as_long_as_an_option_says() {
    let factory = Arc::new(Factory::default());
    let platforms = builder(&factory).failure_time_to_live(2 * SECOND).build();
    factory.is(Mood::Broken);
    let failure = platforms.get_or_build("acme").await;
    factory.is(Mood::Quick);
    assert_eq!(platforms.get_or_build("acme").await, failure);
    assert_eq!(factory.builds(), 1);
    assert!(platforms.get_or_build("globex").await.is_ok(), "one tenant's trouble is not another's");
    advance(2 * SECOND).await;
    assert!(platforms.get_or_build("acme").await.is_ok());

    platforms.evict("acme");
    factory.is(Mood::Broken);
    assert!(platforms.get_or_build("acme").await.is_err());
    factory.is(Mood::Quick);
    assert!(!platforms.evict("acme"));
    assert!(platforms.get_or_build("acme").await.is_ok(), "who evicts a failure wants another try");
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_panics_has_failed_and_poisons_nothing() {
    let (factory, platforms) = platforms();
    factory.is(Mood::Panicking);
    let (one, other) = tokio::join!(platforms.get_or_build("acme"), platforms.get_or_build("acme"));
    let reason = Reason::from("no settings of acme at postgres://app:hunter2@db");
    assert_eq!(one, Err(BuildError::Panicked { reason }));
    assert_eq!(one, other);
    factory.is(Mood::Quick);
    assert!(platforms.get_or_build("acme").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_build_that_takes_too_long_is_given_up() {
    let factory = Arc::new(Factory::default());
    let platforms = builder(&factory).build_timeout(5 * SECOND).build();
    factory.is(Mood::Slow(3600 * SECOND));
    let outcome = timeout(6 * SECOND, platforms.get_or_build("acme")).await;
    assert_eq!(outcome, Ok(Err(BuildError::TimedOut { limit: 5 * SECOND })));
    factory.is(Mood::Quick);
    assert!(platforms.get_or_build("acme").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_stops_no_build() {
    let (factory, platforms) = platforms();
    factory.is(Mood::Slow(SECOND));
    let first = tokio::spawn({
        let platforms = platforms.clone();
        async move { platforms.get_or_build("acme").await }
    });
    settle().await;
    let leaves = async {
        sleep(SECOND / 2).await;
        first.abort();
    };
    let (app, ()) = tokio::join!(timeout(2 * SECOND, platforms.get_or_build("acme")), leaves);
    assert_eq!(app.unwrap().unwrap().build, 1);

    // Nor does it when nobody is left.
    assert!(timeout(SECOND / 2, platforms.get_or_build("globex")).await.is_err());
    sleep(SECOND).await;
    assert!(platforms.get("globex").is_some());
    assert_eq!(factory.builds(), 2);
}

#[tokio::test(start_paused = true)]
async fn evicting_says_whether_there_was_anything() {
    let (factory, platforms) = platforms();
    assert!(!platforms.evict("acme"));
    platforms.get_or_build("acme").await.unwrap();
    platforms.get_or_build("globex").await.unwrap();
    assert!(platforms.evict("acme"));
    assert!(!platforms.evict("acme"));
    platforms.evict_all();
    assert!(platforms.is_empty());
    assert_eq!(factory.left(), [left("acme", 1, Eviction::Asked), left("globex", 2, Eviction::Asked)]);
}

async fn check_overtaken(evict: impl Fn(&LazyPlatforms<App>)) {
    let (factory, platforms) = platforms();
    factory.is(Mood::Slow(SECOND));
    let before = platforms.get_or_build("acme");
    let after = async {
        sleep(SECOND / 2).await;
        evict(&platforms);
        platforms.get_or_build("acme").await
    };
    let (before, after) = tokio::join!(before, after);
    assert_eq!((before.unwrap().build, after.unwrap().build), (1, 2));
    settle().await;
    assert_eq!(platforms.get("acme").unwrap().build, 2);
    assert_eq!(
        factory.left(),
        [left("acme", 1, Eviction::Asked)],
        "who closes what was built has to hear of all of it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_build_that_was_begun_before_an_eviction_is_not_kept() {
    check_overtaken(|platforms| assert!(platforms.evict("acme"))).await;
    check_overtaken(LazyPlatforms::evict_all).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_was_begun_before_an_eviction_is_not_kept() {
    let factory = Arc::new(Factory::default());
    let platforms = builder(&factory).failure_time_to_live(60 * SECOND).build_timeout(SECOND).build();
    factory.is(Mood::Slow(3600 * SECOND));
    assert!(timeout(SECOND / 2, platforms.get_or_build("acme")).await.is_err());
    assert!(platforms.evict("acme"));
    sleep(SECOND).await;
    factory.is(Mood::Quick);
    assert!(platforms.get_or_build("acme").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_hook_may_panic_or_call_back() {
    let handle: Arc<Mutex<Option<LazyPlatforms<TenantId>>>> = Arc::default();
    let platforms = LazyPlatforms::builder(|id: TenantId| async move { Ok::<_, String>(id) })
        .capacity(1)
        .on_evict({
            let handle = Arc::clone(&handle);
            move |id, _, _| {
                let platforms = handle.lock().unwrap().clone().unwrap();
                assert!(!platforms.evict(id) && platforms.get(id).is_none());
                platforms.evict_all();
                panic!("as hooks do");
            }
        })
        .build();
    *handle.lock().unwrap() = Some(platforms.clone());
    assert!(platforms.get_or_build("acme").await.is_ok());
    assert!(platforms.get_or_build("globex").await.is_ok());
    settle().await;
    assert!(platforms.is_empty());
    assert!(platforms.get_or_build("acme").await.is_ok());
    assert!(platforms.evict("acme"));
    assert!(platforms.get_or_build("acme").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_takes_the_platforms_with_it() {
    let factory = Arc::new(Factory::default());
    let platforms = builder(&factory).time_to_idle(3600 * SECOND).build();
    let seen = Arc::downgrade(&platforms.get_or_build("acme").await.unwrap());
    settle().await;
    drop(platforms.clone());
    assert!(seen.upgrade().is_some());
    drop(platforms);
    assert!(seen.upgrade().is_none());
    assert_eq!(factory.left(), []);
    settle().await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0, "nobody sweeps what is gone");
}

#[test]
fn a_runtime_that_ended_leaves_nothing_behind() {
    let factory = Arc::new(Factory::default());
    let platforms = builder(&factory).time_to_idle(60 * SECOND).build();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime().block_on(async {
        platforms.get_or_build("acme").await.unwrap();
        factory.is(Mood::Slow(SECOND));
        assert!(timeout(SECOND / 2, platforms.get_or_build("globex")).await.is_err());
    });
    runtime().block_on(async {
        assert_eq!(platforms.get_or_build("globex").await.unwrap().build, 3);
        // The first runtime's sweeper is gone with it.
        sleep(61 * SECOND).await;
        assert!(factory.left().contains(&left("globex", 3, Eviction::Idle)));
    });
}

#[tokio::test(start_paused = true)]
async fn limits_may_be_everything() {
    let factory = Arc::new(Factory::default());
    let platforms = builder(&factory)
        .capacity(usize::MAX)
        .time_to_idle(Duration::MAX)
        .time_to_live(Duration::MAX)
        .failure_time_to_live(Duration::MAX)
        .build_timeout(Duration::MAX)
        .build();
    platforms.get_or_build("acme").await.unwrap();
    advance(1_000_000 * SECOND).await;
    assert!(platforms.get("acme").is_some());
}

/// The hook hears of every platform that was built and is not kept, once, however the threads fall.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_platform_that_was_built_is_kept_or_leaves_once() {
    let factory = Arc::new(Factory::default());
    let platforms = builder(&factory).capacity(3).build();
    let tasks = (0..4).map(|task: usize| {
        let platforms = platforms.clone();
        tokio::spawn(async move {
            for step in 0..500 {
                let id = ((task + step * 7) % 5).to_string();
                let app = platforms.get_or_build(id.as_str()).await.unwrap();
                assert_eq!(app.tenant, id);
                if (task + step).is_multiple_of(3) {
                    platforms.evict(&id);
                }
                tokio::task::yield_now().await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    platforms.evict_all();
    // The last builds tell of what they displaced after they have answered.
    let told = async {
        let mut builds = Vec::new();
        while builds.len() < factory.builds() {
            builds.extend(factory.left().into_iter().map(|(_, build, _)| build));
            tokio::task::yield_now().await;
        }
        builds
    };
    let mut builds = timeout(10 * SECOND, told).await.unwrap();
    builds.sort_unstable();
    assert_eq!(builds, (1..=factory.builds()).collect::<Vec<_>>());
}
