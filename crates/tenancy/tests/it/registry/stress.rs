//! Everything at once for a while, on real threads: the long test of what no model checker sees into, the lock-free maps
//! and the swapped pointers.
//!
//! It takes a second or two; `TENANCY_STRESS_SECONDS` makes it as long as one likes. Invariant: whoever is served is
//! served by a configuration that holds the route, with a version that never goes back, and no look-up waits for a change.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use tenancy::{Refusal, Register, TenantConfig, TenantRegistry};

const SECONDS: f64 = 1.5;
const TENANTS: u64 = 64;

struct Platform {
    tenant: u64,
    /// Host and path prefix of each route.
    routes: Vec<(String, String)>,
}

type Registry = TenantRegistry<Platform>;

/// Xorshift: the same for every run, and different for every thread.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn length() -> Duration {
    let seconds = std::env::var("TENANCY_STRESS_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(SECONDS))
}

/// A tenant has its own host, and a place on one that all share: a prefix of it, or a longer one, or a host below.
fn config(tenant: u64, shape: u64) -> TenantConfig<Platform> {
    let own = (format!("t{tenant}.example"), String::new());
    let shared = match shape % 4 {
        0 => ("shared.example".to_owned(), format!("/t{tenant}")),
        1 => ("shared.example".to_owned(), format!("/t{tenant}/deep")),
        2 => (format!("t{tenant}.shared.example"), String::new()),
        _ => (format!("*.t{tenant}.shared.example"), "/x".to_owned()),
    };
    let url = |(host, path): &(String, String)| format!("https://{host}{path}");
    let (first, second) = (url(&own), url(&shared));
    TenantConfig::new(first, Platform { tenant, routes: vec![own, shared] }).alias(second)
}

/// Paths by which all shapes of a tenant are met, each with what every configuration of it has in common.
fn requests(tenant: u64) -> [(String, String); 4] {
    [
        (format!("t{tenant}.example"), "/any".to_owned()),
        ("shared.example".to_owned(), format!("/t{tenant}/deep/x")),
        (format!("t{tenant}.shared.example"), "/".to_owned()),
        (format!("a.t{tenant}.shared.example"), "/x/y".to_owned()),
    ]
}

fn holds(platform: &Platform, host: &str, path: &str) -> bool {
    platform.routes.iter().any(|(pattern, prefix)| {
        let host_matches =
            pattern == host || pattern.strip_prefix("*.").is_some_and(|parent| host.ends_with(&format!(".{parent}")));
        host_matches && path.starts_with(prefix.as_str())
    })
}

fn change(registry: &Registry, random: &mut Random, first: u64) {
    // Each tenant has one writer, so that what it did last is known.
    let tenant = first + 2 * random.next(TENANTS / 2);
    let id = tenant.to_string();
    let shape = random.next(4);
    match random.next(10) {
        0 => drop(registry.unregister(&id)),
        1 if registry.suspend(&id, "not paid") => {
            assert!(matches!(registry.get(&id), Err(Refusal::Suspended { .. })));
            assert!(registry.resume(&id));
        }
        2..5 => drop(registry.register(&*id, config(tenant, shape), Register::default()).now_or_never()),
        _ => drop(registry.replace(&id, config(tenant, shape)).now_or_never()),
    }
    let is_there = registry.status(&id).is_some();
    assert_eq!(registry.get(&id).is_ok(), is_there);
    assert_eq!(registry.resolve_by_host(&format!("t{tenant}.example")).is_ok(), is_there);
}

fn look(registry: &Registry, random: &mut Random) -> u64 {
    let tenant = random.next(TENANTS);
    let mut found = 0;
    for (host, path) in requests(tenant) {
        match registry.resolve_by_request(&host, &path) {
            Ok(resolved) => {
                assert_eq!((&*resolved.tenant_id, resolved.platform.tenant), (&*tenant.to_string(), tenant));
                assert!(holds(&resolved.platform, &host, &path), "{host}{path} at {:?}", resolved.platform.routes);
                found += 1;
            }
            Err(refusal) => assert!(matches!(refusal, Refusal::UnknownHost | Refusal::Suspended { .. }), "{refusal:?}"),
        }
    }
    found
}

#[test]
fn readers_and_writers_at_once_for_a_while() {
    let registry = Registry::builder().build();
    let (over, found) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for first in 0..2 {
            let (registry, over) = (&registry, &over);
            scope.spawn(move || {
                let mut random = Random(first + 1);
                while !over.load(Ordering::Relaxed) {
                    change(registry, &mut random, first);
                }
            });
        }
        for seed in 0..3 {
            let (registry, over, found) = (&registry, &over, &found);
            scope.spawn(move || {
                let mut random = Random(seed + 100);
                while !over.load(Ordering::Relaxed) {
                    found.fetch_add(look(registry, &mut random), Ordering::Relaxed);
                }
            });
        }
        let until = Instant::now() + length();
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(found.load(Ordering::Relaxed) > 1_000, "nothing was looked at");
    let ids: Vec<_> = registry.list().into_iter().map(|status| status.tenant_id).collect();
    assert!(ids.iter().all(|id| registry.unregister(id)));
    // Every route is free again.
    for tenant in 0..TENANTS {
        for (host, path) in requests(tenant) {
            assert!(registry.resolve_by_request(&host, &path).is_err());
        }
        for shape in 0..4 {
            let entered = registry.register("again", config(tenant, shape), Register::default()).now_or_never();
            assert!(matches!(entered, Some(Ok(_))), "{entered:?}");
            assert!(registry.unregister("again"));
        }
    }
}

/// A clock that stands still when it is asked for the n-th time: in the middle of a change, under every lock there is.
#[derive(Default)]
struct Held {
    /// How often it is asked until it stands still, that time included; 0: it never does, and goes on.
    until: Mutex<usize>,
    changed: Condvar,
    stands: AtomicBool,
}

impl Held {
    fn now(&self) -> SystemTime {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if *until > 1 {
            *until -= 1;
        } else if *until == 1 {
            self.stands.store(true, Ordering::SeqCst);
            drop(self.changed.wait_while(until, |until| *until == 1));
        }
        SystemTime::UNIX_EPOCH
    }

    fn stand_still(&self, until: usize) {
        self.stands.store(false, Ordering::SeqCst);
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        self.changed.notify_all();
    }
}

#[test]
fn a_look_up_waits_for_no_change_however_long_that_takes() {
    let held = Arc::new(Held::default());
    let clock = Arc::clone(&held);
    let registry = Registry::builder().clock(move || clock.now()).build();
    for tenant in 0..2 {
        assert!(matches!(
            registry.register(tenant.to_string(), config(tenant, 0), Register::default()).now_or_never(),
            Some(Ok(_))
        ));
    }
    let (entering, leaving) = (registry.clone(), registry.clone());
    let enter = move || drop(entering.register("2", config(2, 1), Register::default()).now_or_never());
    // Registering asks the time once before it takes a lock.
    let changes: [(usize, Box<dyn FnOnce() + Send>); 2] =
        [(2, Box::new(enter)), (1, Box::new(move || assert!(leaving.unregister("1"))))];
    for (until, change) in changes {
        held.stand_still(until);
        let changing = std::thread::spawn(change);
        let deadline = Instant::now() + super::DEADLINE;
        while !held.stands.load(Ordering::SeqCst) {
            assert!(Instant::now() < deadline, "the clock is not asked");
            std::thread::yield_now();
        }
        for tenant in 0..3 {
            for (host, path) in requests(tenant) {
                let _ = registry.resolve_by_request(&host, &path);
            }
            let _ = registry.get(&tenant.to_string());
        }
        assert!(registry.get("0").is_ok() && !changing.is_finished());
        held.stand_still(0);
        assert!(changing.join().is_ok());
    }
}
