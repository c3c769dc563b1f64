//! Changes of routes under the eyes of readers: a look-up sees all of a change or nothing of it.
//!
//! A thread changes the registry for a while, which needs no runtime where nothing is validated, and another looks up all
//! the time. Invariant: where a tenant answers before and after a change, it answers during the change too.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tenancy::{Refusal, Register, TenantConfig};

use super::{Registry, at, open};

/// Long enough for thousands of changes.
const FOR: Duration = Duration::from_millis(400);

fn put(registry: &Registry, id: &'static str, urls: &[&str]) {
    let done = registry.register(id, config(id, urls), Register::default()).now_or_never();
    assert!(matches!(done, Some(Ok(_))), "{done:?}");
}

fn moved(registry: &Registry, id: &'static str, urls: &[&str]) {
    let done = registry.replace(id, config(id, urls)).now_or_never();
    assert!(matches!(done, Some(Ok(_))), "{done:?}");
}

fn config(platform: &'static str, urls: &[&str]) -> TenantConfig<&'static str> {
    let (first, more) = urls.split_first().unwrap_or((&"", &[]));
    more.iter().fold(TenantConfig::new(*first, platform), |config, url| config.alias(*url))
}

/// Runs both again and again until the time is up: `change` here, and `look` on another thread.
fn side_by_side(mut change: impl FnMut(), look: impl Fn() + Sync) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                look();
            }
        });
        let until = Instant::now() + FOR;
        while Instant::now() < until && !looker.is_finished() {
            change();
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// The tenant `mover` goes back and forth between `one` and `other`, and answers there all the time.
fn always_reached(registry: &Registry, one: &[&str], other: &[&str], (host, path): (&str, &str)) {
    put(registry, "mover", one);
    let back_and_forth = || {
        moved(registry, "mover", other);
        moved(registry, "mover", one);
    };
    side_by_side(back_and_forth, || assert_eq!(at(registry, host, path), Ok("mover"), "{host}{path}"));
}

#[test]
fn nobody_else_is_reached_while_a_tenant_moves_between_a_prefix_and_a_longer_one() {
    let registry = open();
    put(&registry, "floor", &["https://example.com"]);
    always_reached(&registry, &["https://example.com/a"], &["https://example.com/a/b"], ("example.com", "/a/b/c"));
}

#[test]
fn a_tenant_is_reached_while_it_moves_between_its_host_and_a_prefix_of_it() {
    always_reached(&open(), &["https://example.com"], &["https://example.com/a"], ("example.com", "/a"));
}

#[test]
fn a_tenant_is_reached_while_it_moves_between_a_wildcard_and_an_exact_host() {
    always_reached(&open(), &["https://*.example.com"], &["https://x.example.com"], ("x.example.com", "/"));
}

#[test]
fn a_tenant_is_reached_while_it_moves_between_prefixes_of_a_wildcard_and_an_exact_host() {
    let registry = open();
    put(&registry, "floor", &["https://*.example.com"]);
    let (wild, exact) = (["https://*.example.com/a"], ["https://x.example.com/a/b"]);
    always_reached(&registry, &wild, &exact, ("x.example.com", "/a/b"));
}

/// The host stays the tenant's, and shadows the wildcard, whatever becomes of its prefixes.
#[test]
fn an_exact_host_shadows_a_wildcard_while_its_tenant_moves_within_it() {
    let registry = open();
    put(&registry, "wild", &["https://*.example.com"]);
    put(&registry, "mover", &["https://x.example.com/a"]);
    let back_and_forth = || {
        moved(&registry, "mover", &["https://x.example.com/b"]);
        moved(&registry, "mover", &["https://x.example.com/a"]);
    };
    side_by_side(back_and_forth, || assert_eq!(at(&registry, "x.example.com", "/c"), Err(Refusal::UnknownHost)));
}

#[test]
fn a_wildcard_answers_as_soon_as_an_exact_host_does_not() {
    let registry = open();
    put(&registry, "wild", &["https://*.example.com"]);
    let come_and_go = || {
        put(&registry, "guest", &["https://x.example.com/a"]);
        assert!(registry.unregister("guest"));
    };
    side_by_side(come_and_go, || {
        let answer = at(&registry, "x.example.com", "/a");
        assert!(matches!(answer, Ok("wild" | "guest")), "{answer:?}");
    });
}

/// Rounds with a tenant and hosts of their own, so that every change goes one way and has a before and an after.
fn rounds(prepare: impl Fn(usize), change: impl Fn(usize), look: impl Fn(usize) + Sync) {
    let round = AtomicUsize::new(0);
    prepare(0);
    side_by_side(
        || {
            let now = round.load(Ordering::Relaxed);
            change(now);
            prepare(now + 1);
            round.store(now + 1, Ordering::Release);
        },
        || look(round.load(Ordering::Acquire)),
    );
}

#[test]
fn a_tenant_that_changes_its_host_is_never_at_both_and_never_at_none() {
    let registry = open();
    let (old, new) = (|n: usize| format!("old-{n}.example"), |n: usize| format!("new-{n}.example"));
    let config = |host: String| TenantConfig::new(format!("https://{host}"), "mover");
    let reached = |host: String| registry.resolve_by_host(&host).is_ok();
    rounds(
        |n| {
            let done = registry.register(n.to_string(), config(old(n)), Register::default()).now_or_never();
            assert!(matches!(done, Some(Ok(_))));
        },
        |n| {
            let done = registry.replace(&n.to_string(), config(new(n))).now_or_never();
            assert!(matches!(done, Some(Ok(_))));
        },
        |n| {
            if reached(new(n)) {
                assert!(!reached(old(n)), "at both");
            }
            if !reached(old(n)) {
                assert!(reached(new(n)), "at none");
            }
        },
    );
}

#[test]
fn the_routes_of_a_tenant_come_and_go_together() {
    let registry = open();
    let (first, second) = (|n: usize| format!("a-{n}.example"), |n: usize| format!("b-{n}.example"));
    let reached = |host: String| registry.resolve_by_host(&host).is_ok();
    rounds(
        |_| {},
        |n| {
            let config =
                TenantConfig::new(format!("https://{}", first(n)), "p").alias(format!("https://{}", second(n)));
            let done = registry.register(n.to_string(), config, Register::default()).now_or_never();
            assert!(matches!(done, Some(Ok(_))));
        },
        |n| {
            if reached(first(n)) {
                assert!(reached(second(n)), "the second comes later");
            }
            if reached(second(n)) {
                assert!(reached(first(n)), "the first comes later");
            }
        },
    );
}
