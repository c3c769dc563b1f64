//! What it costs to find a tenant: by size, from two threads, beside a writer, and for other spellings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tenancy::{Register, TenantConfig, TenantRegistry};

use crate::Outcome;
use crate::report::{Report, median, range};
use crate::setup::{Bare, Platform, Walk, bare, host, register, registry};

const ROUNDS: usize = 11;

fn by_registry(registry: &TenantRegistry<Platform>) -> impl Fn(&str) -> Platform {
    |host| *registry.resolve_by_host(host).expect("registered").platform
}

fn by_bare(map: &Bare) -> impl Fn(&str) -> Platform {
    |host| **map.pin().get(host).expect("inserted")
}

/// As the contract has it: pin, get, clone the `Arc`.
fn by_bare_cloned(map: &Bare) -> impl Fn(&str) -> Platform {
    |host| *Arc::clone(map.pin().get(host).expect("inserted"))
}

fn count(tenants: usize) -> usize {
    if tenants > 50_000 { 1_000_000 } else { 2_000_000 }
}

pub(crate) fn measure(report: &mut Report) -> Outcome {
    for tenants in [10, 1_000, 100_000, 1_000_000] {
        let (registry, map) = (registry(tenants), bare(tenants));
        let walk = Walk::new(tenants, host);
        let count = count(tenants);
        let (mut ours, mut bares, mut ratios) = (vec![], vec![], vec![]);
        for round in 0..=ROUNDS {
            let b = walk.time(count, round, by_bare_cloned(&map));
            let a = walk.time(count, round, by_registry(&registry));
            // The first round warms up.
            if round > 0 {
                bares.push(b);
                ours.push(a);
                ratios.push(a / b);
            }
        }
        let limit = if tenants == 10 { 2.5 } else { 2.0 };
        let (low, high) = range(&ratios);
        let (a, b, ratio) = (median(ours), median(bares), median(ratios.iter().copied()));
        report.show(format!("look-up in the bare map, {tenants} tenants"), format!("{b:.1} ns"));
        report.judge(
            format!("resolve_by_host, {tenants} tenants"),
            format!("{a:.1} ns, {ratio:.2} × the bare look-up (rounds {low:.2} to {high:.2})"),
            &format!("at most {limit} ×"),
            ratio <= limit,
        );
    }
    Ok(())
}

/// Nanoseconds per look-up on each of `threads`, on hosts of their own.
fn on_threads(threads: usize, count: usize, per_thread: usize, look: impl Fn(&str) -> Platform + Sync) -> f64 {
    let walks: Vec<Walk> = (0..threads).map(|t| Walk::new(per_thread, |i| host(t * per_thread + i))).collect();
    let ready = AtomicUsize::new(0);
    let offset = |t: usize| (t * per_thread) as Platform;
    let times: Vec<f64> = std::thread::scope(|scope| {
        let running: Vec<_> = walks
            .iter()
            .enumerate()
            .map(|(t, walk)| {
                let (look, ready) = (&look, &ready);
                scope.spawn(move || {
                    ready.fetch_add(1, Ordering::AcqRel);
                    while ready.load(Ordering::Acquire) < threads {
                        std::hint::spin_loop();
                    }
                    walk.time(count, t, |host| look(host) - offset(t))
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    times.iter().sum::<f64>() / threads as f64
}

pub(crate) fn measure_threads(report: &mut Report) -> Outcome {
    const TENANTS: usize = 1_000;
    let (registry, map) = (registry(TENANTS), bare(TENANTS));
    for (what, look) in [
        ("look-up in the bare map", &by_bare_cloned(&map) as &(dyn Fn(&str) -> Platform + Sync)),
        ("the same without cloning the Arc", &by_bare(&map)),
        ("resolve_by_host", &by_registry(&registry)),
    ] {
        let mut gains = vec![];
        let mut both = vec![];
        for _ in 0..ROUNDS {
            let one = on_threads(1, 1_000_000, TENANTS / 2, look);
            let two = on_threads(2, 1_000_000, TENANTS / 2, look);
            both.push(two);
            gains.push(2.0 * one / two);
        }
        let (low, high) = range(&gains);
        let figure = format!(
            "{:.1} ns each, {:.2} × the look-ups of one thread (rounds {low:.2} to {high:.2})",
            median(both),
            median(gains.iter().copied())
        );
        report.show(format!("{what}, two threads on different hosts of {TENANTS}"), figure);
    }
    beside_a_writer(report)
}

/// One reader while another thread registers 10,000 tenants a second, and removes as many so that the size stays.
fn beside_a_writer(report: &mut Report) -> Outcome {
    const TENANTS: usize = 100_000;
    const A_SECOND: usize = 10_000;
    let registry = registry(TENANTS);
    let walk = Walk::new(TENANTS, host);
    let (mut quiet, mut busy, mut slowest) = (vec![], vec![], Duration::ZERO);
    let mut written = vec![];
    for round in 0..ROUNDS {
        quiet.push(walk.time(1_000_000, round, by_registry(&registry)));
        let stop = AtomicBool::new(false);
        let (ns, wrote) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let start = Instant::now();
                let mut done = 0_usize;
                while !stop.load(Ordering::Relaxed) {
                    let due = (start.elapsed().as_secs_f64() * A_SECOND as f64) as usize;
                    while done < due {
                        let i = TENANTS + done % 20_000;
                        registry.unregister(&format!("t-{i}"));
                        register(&registry, i);
                        done += 1;
                    }
                    std::thread::sleep(Duration::from_micros(200));
                }
                done as f64 / start.elapsed().as_secs_f64()
            });
            let ns = walk.time(2_000_000, round, by_registry(&registry));
            for i in 0..100_000 {
                let before = Instant::now();
                let _ = std::hint::black_box(registry.resolve_by_host(&host(i % TENANTS)));
                slowest = slowest.max(before.elapsed());
            }
            stop.store(true, Ordering::Relaxed);
            (ns, writer.join().expect("no panic"))
        });
        busy.push(ns);
        written.push(wrote);
    }
    let figure = format!(
        "{:.1} ns (without the writer {:.1} ns; it registered {:.0} a second; slowest of {} look-ups timed singly {:?})",
        median(busy),
        median(quiet),
        median(written),
        ROUNDS * 100_000,
        slowest
    );
    report.show(format!("resolve_by_host of {TENANTS} while another thread registers"), figure);
    Ok(())
}

pub(crate) fn measure_variants(report: &mut Report) -> Outcome {
    const TENANTS: usize = 1_000;
    let registry = registry(TENANTS);
    type Spell = fn(usize) -> String;
    let spellings: [(&str, Spell); 4] = [
        ("in normal form", host),
        ("with :443", |i| format!("{}:443", host(i))),
        ("in mixed case", |i| host(i).replace("tenant", "Tenant").replace("example", "EXAMPLE")),
        ("with a root dot", |i| format!("{}.", host(i))),
    ];
    for (name, spell) in spellings {
        let walk = Walk::new(TENANTS, spell);
        let times: Vec<f64> = (0..ROUNDS).map(|round| walk.time(500_000, round, by_registry(&registry))).collect();
        report.show(format!("resolve_by_host {name}, {TENANTS} tenants"), format!("{:.1} ns", median(times)));
    }
    let unknown = Walk::new(TENANTS, |i| format!("nobody-{i:07}.example.com"));
    let nobody = |host: &str| registry.resolve_by_host(host).map_or(1, |_| unreachable!());
    let times: Vec<f64> = (0..ROUNDS).map(|round| unknown.time(500_000, round, nobody)).collect();
    report.show(format!("resolve_by_host of an unknown host, {TENANTS} tenants"), format!("{:.1} ns", median(times)));

    for prefixes in [1, 10, 100] {
        let registry: TenantRegistry<Platform> = TenantRegistry::builder().build();
        for i in 0..prefixes {
            let config = TenantConfig::new(format!("https://example.com/tenant-{i}"), i as Platform);
            let registering = registry.register(format!("t-{i}"), config, Register::InBackground);
            registering.now_or_never().expect("nothing to wait for")?;
        }
        let walk = Walk::new(prefixes, |i| format!("/tenant-{i}/orders/17"));
        let by_path = |path: &str| *registry.resolve_by_request("example.com", path).expect("registered").platform;
        let times: Vec<f64> = (0..ROUNDS).map(|round| walk.time(500_000, round, by_path)).collect();
        report.show(format!("resolve_by_request, {prefixes} prefixes on the host"), format!("{:.1} ns", median(times)));
    }
    Ok(())
}
