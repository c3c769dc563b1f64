//! The interleavings of the registry's own synchronisation, tried out by shuttle.
//!
//! Here `sync.rs` takes its lock and its tasks from shuttle, and every look at a route or at what a tenant has published
//! is a step at which another thread may come between. papaya, arc-swap and what comes of tokio are not shuttle's: each
//! call of theirs is one step, which is what they promise, and `tests/it/registry/stress.rs` holds them to it. There is no
//! time either, and so no time limit. Invariant: each test is small enough for its number of schedules to mean something.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{FutureExt, StreamExt};
use shuttle::future::{block_on, spawn, yield_now};
use shuttle::thread;

use super::{HealthEvents, Refusal, Register, RegistryError, TenantConfig, TenantRegistry};
use crate::health::Health;
use crate::validate::{ValidationTarget, Verdict, validator_fn};

/// Schedules of each test, half of them random and half with few changes of thread at bad moments (PCT).
const SCHEDULES: usize = 300;
/// So many such changes.
const DEPTH: usize = 3;

type Registry = TenantRegistry<&'static str>;

const URL: &str = "https://acme.example.com";
const HOST: &str = "acme.example.com";
const NEW: &str = "https://new.example";

fn explore(test: impl Fn() + Send + Sync + 'static) {
    let test = Arc::new(test);
    let again = Arc::clone(&test);
    shuttle::check_random(move || test(), SCHEDULES / 2);
    shuttle::check_pct(move || again(), SCHEDULES / 2, DEPTH);
}

fn open() -> Registry {
    TenantRegistry::builder().build()
}

/// What a validator saw.
#[derive(Clone, Default)]
struct Seen {
    calls: Arc<AtomicUsize>,
    under_way: Arc<AtomicUsize>,
}

impl Seen {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// Takes a while, and says of each call what `verdict` says of its number.
fn judged(seen: &Seen, verdict: impl Fn(usize) -> Verdict + Send + Sync + 'static) -> Registry {
    let (seen, verdict) = (seen.clone(), Arc::new(verdict));
    let validator = validator_fn(move |_: ValidationTarget| {
        let (seen, verdict) = (seen.clone(), Arc::clone(&verdict));
        async move {
            let call = seen.calls.fetch_add(1, Ordering::SeqCst);
            assert_eq!(seen.under_way.fetch_add(1, Ordering::SeqCst), 0, "two validations at once");
            let under_way = scope(Arc::clone(&seen.under_way));
            yield_now().await;
            drop(under_way);
            verdict(call)
        }
    });
    TenantRegistry::builder().validator(validator).build()
}

/// Counts down when it is dropped, which it is with a validation that nobody waits for any more.
fn scope(count: Arc<AtomicUsize>) -> impl Drop {
    struct Scope(Arc<AtomicUsize>);
    impl Drop for Scope {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    Scope(count)
}

fn config(url: &str, platform: &'static str) -> TenantConfig<&'static str> {
    TenantConfig::new(url, platform)
}

/// A lazy tenant whose factory takes a while, counts, and gives what `outcome` says of its number.
fn lazy(
    runs: &Arc<AtomicUsize>,
    outcome: impl Fn(usize) -> Result<&'static str, &'static str> + Send + Sync + 'static,
) -> TenantConfig<&'static str> {
    let (runs, outcome) = (Arc::clone(runs), Arc::new(outcome));
    TenantConfig::lazy(URL, move || {
        let (run, outcome) = (runs.fetch_add(1, Ordering::SeqCst), Arc::clone(&outcome));
        async move {
            yield_now().await;
            outcome(run)
        }
    })
}

fn enter(registry: &Registry, id: &'static str, url: &str) {
    assert!(block_on(registry.register(id, config(url, id), Register::default())).is_ok());
}

fn at(registry: &Registry, host: &str, path: &str) -> Result<&'static str, Refusal> {
    registry.resolve_by_request(host, path).map(|resolved| *resolved.platform)
}

/// Every event, each of which begins where the one before it of its tenant ended.
fn chains(events: &mut HealthEvents) -> BTreeMap<String, Vec<Option<Health>>> {
    let mut chains: BTreeMap<String, Vec<Option<Health>>> = BTreeMap::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        let chain = chains.entry(event.tenant_id.to_string()).or_insert_with(|| vec![None]);
        assert_eq!((chain.last(), event.missed), (Some(&event.from), 0));
        chain.push(event.to);
    }
    chains
}

#[test]
fn of_two_who_register_one_id_or_one_route_one_wins() {
    explore(|| {
        let registry = open();
        let claims =
            [("acme", "https://one.example"), ("acme", "https://two.example"), ("other", "https://two.example")];
        let threads = claims.map(|(id, url)| {
            let registry = registry.clone();
            thread::spawn(move || block_on(registry.register(id, config(url, id), Register::default())))
        });
        let won = threads.map(|thread| match thread.join().unwrap() {
            Ok(_) => true,
            Err(RegistryError::AlreadyRegistered { tenant_id }) if tenant_id == "acme" => false,
            Err(RegistryError::RouteTaken { host, .. }) if host == "two.example" => false,
            Err(other) => unreachable!("{other}"),
        });
        let ids: Vec<_> = registry.list().into_iter().map(|status| status.tenant_id).collect();
        assert_eq!(won.iter().filter(|won| **won).count(), ids.len());
        // The second is in the way of both others, and they of it.
        assert!(won == [true, false, true] || won == [false, true, false], "{won:?}");
        assert_eq!(at(&registry, "one.example", "/").is_ok(), won[0]);
        assert_eq!(at(&registry, "two.example", "/").is_ok(), won[1] || won[2]);
    });
}

#[test]
fn a_look_up_sees_a_replacement_whole() {
    for (one, other, host, path) in [
        ("https://example.com/a", "https://example.com/a/b", "example.com", "/a/b/c"),
        ("https://*.example.com", "https://x.example.com", "x.example.com", "/"),
        ("https://x.example.com/a", "https://*.example.com/a", "x.example.com", "/a"),
    ] {
        explore(move || {
            let registry = open();
            enter(&registry, "floor", "https://example.com");
            enter(&registry, "mover", one);
            let changing = registry.clone();
            let change = thread::spawn(move || {
                assert!(block_on(changing.replace("mover", config(other, "mover"))).is_ok());
                assert!(block_on(changing.replace("mover", config(one, "mover"))).is_ok());
            });
            for _ in 0..3 {
                assert_eq!(at(&registry, host, path), Ok("mover"));
            }
            change.join().unwrap();
        });
    }
}

#[test]
fn a_host_that_is_given_up_hides_the_wildcard_no_longer_than_it_answers() {
    explore(|| {
        let registry = open();
        enter(&registry, "wild", "https://*.example.com");
        let changing = registry.clone();
        let change = thread::spawn(move || {
            enter(&changing, "guest", "https://x.example.com/a");
            assert!(changing.unregister("guest"));
        });
        for _ in 0..3 {
            let answer = at(&registry, "x.example.com", "/a");
            assert!(matches!(answer, Ok("wild" | "guest")), "{answer:?}");
        }
        change.join().unwrap();
        assert_eq!(at(&registry, "x.example.com", "/a"), Ok("wild"));
    });
}

#[test]
fn a_tenant_comes_and_goes_with_all_its_routes_at_once() {
    explore(|| {
        let registry = open();
        let changing = registry.clone();
        let change = thread::spawn(move || {
            let both = config("https://one.example", "acme").alias("https://two.example");
            assert!(block_on(changing.register("acme", both, Register::default())).is_ok());
        });
        let reached = |host| at(&registry, host, "/").is_ok();
        for (first, second) in [("one.example", "two.example"), ("two.example", "one.example")] {
            if reached(first) {
                assert!(reached(second) && registry.get("acme").is_ok());
            }
        }
        change.join().unwrap();
    });
}

#[test]
fn replacing_unregistering_and_looking_up_at_once_leave_nothing_half_done() {
    explore(|| {
        let registry = open();
        let mut events = registry.subscribe();
        enter(&registry, "acme", URL);
        let (replacing, leaving) = (registry.clone(), registry.clone());
        let replace = thread::spawn(move || block_on(replacing.replace("acme", config(NEW, "new"))));
        let leave = thread::spawn(move || leaving.unregister("acme"));
        for (host, platform) in [(HOST, "acme"), ("new.example", "new")] {
            let answer = at(&registry, host, "/");
            assert!(answer == Ok(platform) || answer == Err(Refusal::UnknownHost), "{answer:?}");
        }
        let replaced = replace.join().unwrap();
        assert!(leave.join().unwrap());
        assert!(matches!(replaced, Ok(_) | Err(RegistryError::UnknownTenant { .. })), "{replaced:?}");
        assert!(registry.is_empty() && registry.get("acme").is_err());
        // Whichever way it went, every route is free.
        enter(&registry, "one", URL);
        enter(&registry, "two", NEW);
        assert_eq!(chains(&mut events)["acme"].last(), Some(&None));
    });
}

#[test]
fn rechecks_at_once_share_a_validation_or_come_after_it() {
    explore(|| {
        let seen = Seen::default();
        let registry = judged(&seen, |_| Verdict::Valid);
        enter(&registry, "acme", URL);
        let calls = [(); 3].map(|()| {
            let registry = registry.clone();
            spawn(async move { registry.recheck("acme").await.map(|status| status.health) })
        });
        block_on(async {
            for call in calls {
                assert_eq!(call.await.unwrap(), Ok(Health::Healthy));
            }
        });
        let shared = seen.calls();
        assert!((2..=4).contains(&shared), "{shared}");
        // One more, which nobody is there to share with.
        assert!(block_on(registry.recheck("acme")).is_ok());
        assert_eq!(seen.calls(), shared + 1);
    });
}

#[test]
fn whoever_rechecks_a_tenant_that_leaves_is_answered() {
    explore(|| {
        let seen = Seen::default();
        let registry = judged(&seen, |_| Verdict::Valid);
        let mut events = registry.subscribe();
        enter(&registry, "acme", URL);
        let calls: Vec<_> = (0..2)
            .map(|_| {
                let registry = registry.clone();
                spawn(async move { registry.recheck("acme").await })
            })
            .collect();
        assert!(registry.unregister("acme"));
        block_on(async {
            for call in calls {
                let answer = call.await.unwrap();
                assert!(matches!(answer, Ok(_) | Err(RegistryError::UnknownTenant { .. })), "{answer:?}");
            }
        });
        assert_eq!(registry.health("acme"), None);
        assert_eq!(chains(&mut events)["acme"].last(), Some(&None));
    });
}

/// A verdict of before says nothing of who came after: the first is never valid, the second always.
#[test]
fn a_verdict_on_who_left_is_not_taken_for_one_on_who_came() {
    explore(|| {
        let validator = validator_fn(|target: ValidationTarget| async move {
            yield_now().await;
            if target.urls[0] == URL { Verdict::Permanent("p".into()) } else { Verdict::Valid }
        });
        let registry: Registry = TenantRegistry::builder().validator(validator).build();
        block_on(async {
            assert!(registry.register("acme", config(URL, "old"), Register::InBackground).await.is_ok());
            yield_now().await;
            assert!(registry.unregister("acme"));
            let new = config(NEW, "new");
            let status = registry.register("acme", new, Register::default()).await.unwrap();
            assert_eq!((status.health, status.reason), (Health::Healthy, None));
            yield_now().await;
            assert_eq!(registry.health("acme"), Some(Health::Healthy));
        });
    });
}

/// A flight that is about to land has room for one who comes aboard, or that one begins another: nobody is left waiting,
/// and nobody is answered by a validation that began before they asked and had ended by then.
#[test]
fn who_asks_while_a_flight_lands_is_not_forgotten() {
    explore(|| {
        let seen = Seen::default();
        let runs: Arc<AtomicUsize> = Arc::default();
        let registry = judged(&seen, |_| Verdict::Valid);
        let asks = registry.clone();
        let config = lazy(&runs, |_| Ok("built"));
        block_on(async {
            assert!(registry.register("acme", config, Register::InBackground).await.is_ok());
            let recheck = spawn(async move { asks.recheck("acme").await.unwrap().health });
            let request = registry.resolve_lazy(HOST).await;
            // Before it was validated there was nothing to build, and nobody to wait for.
            assert!(matches!(request, Ok(_) | Err(Refusal::Pending { .. })), "{request:?}");
            assert_eq!(recheck.await.unwrap(), Health::Healthy);
            assert!(registry.resolve_lazy(HOST).await.is_ok());
        });
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn requests_at_once_run_a_factory_once_and_one_that_fails_too() {
    for outcome in [Ok("built"), Err("no database")] {
        explore(move || {
            let runs: Arc<AtomicUsize> = Arc::default();
            let registry = open();
            let requests: Vec<_> = block_on(async {
                assert!(registry.register("acme", lazy(&runs, move |_| outcome), Register::InBackground).await.is_ok());
                let asks =
                    |registry: Registry| async move { registry.resolve_lazy(HOST).await.map(|found| *found.platform) };
                (0..3).map(|_| spawn(asks(registry.clone()))).collect()
            });
            let refusal = |reason: &str| Refusal::Disabled { reason: reason.into() };
            block_on(async {
                for request in requests {
                    assert_eq!(request.await.unwrap(), outcome.map_err(refusal));
                }
            });
            assert_eq!(runs.load(Ordering::SeqCst), 1);
        });
    }
}

#[test]
fn a_request_builds_nothing_once_its_tenant_is_suspended() {
    explore(|| {
        let (runs, registry) = (Arc::<AtomicUsize>::default(), open());
        let config = lazy(&runs, |_| Ok("built"));
        assert!(block_on(registry.register("acme", config, Register::InBackground)).is_ok());
        let asking = registry.clone();
        let request = thread::spawn(move || block_on(asking.resolve_lazy(HOST)).map(|found| *found.platform));
        assert!(registry.suspend("acme", "not paid"));
        // What began before may go on, and nothing begins now.
        let begun = runs.load(Ordering::SeqCst);
        let answer = request.join().unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), begun);
        assert!(matches!(answer, Ok("built") | Err(Refusal::Suspended { .. })), "{answer:?}");
        assert!(matches!(registry.get("acme"), Err(Refusal::Suspended { .. })));
    });
}

/// A tenant reserves a route, which comes to nothing; another wants it meanwhile.
fn contested(reserve: impl Fn(&Registry) + Send + Sync + 'static) {
    explore(move || {
        let validator = validator_fn(|target: ValidationTarget| async move {
            for _ in 0..3 {
                yield_now().await;
            }
            let refused = target.tenant_id == "acme" && target.urls[0] == NEW;
            if refused { Verdict::Permanent("p".into()) } else { Verdict::Valid }
        });
        let registry: Registry = TenantRegistry::builder().validator(validator).build();
        enter(&registry, "acme", URL);
        let claiming = registry.clone();
        let claim =
            thread::spawn(move || block_on(claiming.register("other", config(NEW, "other"), Register::default())));
        reserve(&registry);
        match claim.join().unwrap() {
            Ok(_) => {}
            Err(RegistryError::RouteTaken { holder, .. }) => {
                assert_eq!(holder, "acme");
                enter(&registry, "other", NEW);
            }
            Err(other) => unreachable!("{other}"),
        }
        assert_eq!(at(&registry, "new.example", "/"), Ok("other"));
        assert_eq!(at(&registry, HOST, "/"), Ok("acme"));
    });
}

#[test]
fn a_route_that_was_reserved_for_nothing_is_free_again() {
    contested(|registry| {
        let replaced = block_on(registry.replace("acme", config(NEW, "new")));
        assert!(matches!(replaced, Err(RegistryError::ReplacementRefused { .. } | RegistryError::RouteTaken { .. })));
    });
}

#[test]
fn a_replacement_that_is_given_up_frees_its_routes_whenever_that_is() {
    contested(|registry| {
        let replacing = registry.clone();
        block_on(async {
            let replace = spawn(async move { replacing.replace("acme", config(NEW, "new")).await.is_ok() });
            yield_now().await;
            replace.abort();
            let _ = replace.await;
        });
    });
}

#[test]
fn competing_replacements_go_one_after_another() {
    explore(|| {
        let seen = Seen::default();
        let registry = judged(&seen, |_| Verdict::Valid);
        enter(&registry, "acme", URL);
        let names = ["one", "two", "three"];
        let calls = names.map(|name| {
            let registry = registry.clone();
            spawn(async move {
                let status = registry.replace("acme", config(&format!("https://{name}.example"), name)).await.unwrap();
                (status.config_version, name)
            })
        });
        let mut versions = block_on(async {
            let mut versions = Vec::new();
            for call in calls {
                versions.push(call.await.unwrap());
            }
            versions
        });
        versions.sort_unstable();
        assert_eq!(versions.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [2, 3, 4]);
        for (version, name) in versions {
            let expected = if version == 4 { Ok(name) } else { Err(Refusal::UnknownHost) };
            assert_eq!(at(&registry, &format!("{name}.example"), "/"), expected);
        }
    });
}

/// Every schedule of the smallest case, as far as the bound goes.
#[test]
fn suspending_and_resuming_race_with_a_recheck_in_every_order() {
    shuttle::check_dfs(
        || {
            let seen = Seen::default();
            let registry =
                judged(&seen, |call| if call == 0 { Verdict::Valid } else { Verdict::Transient("t".into()) });
            enter(&registry, "acme", URL);
            let suspending = registry.clone();
            let suspend = thread::spawn(move || {
                assert!(suspending.suspend("acme", "not paid"));
                assert!(matches!(suspending.get("acme"), Err(Refusal::Suspended { .. })));
            });
            let status = block_on(registry.recheck("acme")).unwrap();
            assert_eq!(status.health, Health::Unverified);
            suspend.join().unwrap();
            assert_eq!(registry.get("acme").unwrap_err(), Refusal::Suspended { reason: "not paid".into() });
            assert!(registry.resume("acme"));
            assert_eq!(registry.get("acme").unwrap().health, Health::Unverified);
        },
        Some(2_000),
    );
}
