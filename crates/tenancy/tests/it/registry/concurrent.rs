//! Random scripts in many tasks at once, on several threads: what has to hold whatever overtakes what.
//!
//! Two properties. In the first tenants stay, so that the verdicts of the validator, one after another, say exactly what
//! must have become of each. In the second everything comes, goes and is cancelled at once, and what can be said is said:
//! nobody is served who was never valid or by a configuration that does not hold the route, events form a chain, and
//! nothing is left behind. Invariant: a script waits for its calls, never for a time.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::sample::select;
use tenancy::{
    Health, HealthEvent, Refusal, Register, Resolved, TenantConfig, TenantRegistry, ValidationTarget, Validator,
    Verdict, async_trait,
};

use super::{events_so_far, eventually, within};

/// Cases of each property, tasks of each case, and steps of each task.
const CASES: u32 = 48;
const TASKS: usize = 8;
const STEPS: std::ops::Range<usize> = 20..50;
const THREADS: usize = 4;

const IDS: &[&str] = &["a", "b", "c", "d"];

/// Which configuration of which tenant this is.
#[derive(Debug)]
struct Platform {
    tenant: &'static str,
    mark: usize,
    hosts: Vec<&'static str>,
}

type Registry = TenantRegistry<Platform>;

/// Gives verdicts by chance, after waiting by chance, and remembers all of it.
struct Chance {
    seed: usize,
    drawn: AtomicUsize,
    valid: Mutex<HashSet<String>>,
    /// By tenant, in the order in which they were given.
    given: Mutex<BTreeMap<String, Vec<(String, Verdict)>>>,
    under_way: Mutex<BTreeMap<String, usize>>,
    overlaps: AtomicUsize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chance {
    fn new(seed: usize) -> Arc<Self> {
        Arc::new(Self {
            seed,
            drawn: AtomicUsize::new(0),
            valid: Mutex::default(),
            given: Mutex::default(),
            under_way: Mutex::default(),
            overlaps: AtomicUsize::new(0),
        })
    }

    fn draw(&self) -> usize {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed) + self.seed;
        drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40
    }
}

#[async_trait]
impl Validator for Chance {
    async fn validate(&self, target: &ValidationTarget) -> Verdict {
        let id = target.tenant_id.to_string();
        let count = |by: isize| {
            let mut under_way = locked(&self.under_way);
            let count = under_way.entry(id.clone()).or_default();
            *count = count.saturating_add_signed(by);
            *count
        };
        struct Counted<F: FnMut()>(F);
        impl<F: FnMut()> Drop for Counted<F> {
            fn drop(&mut self) {
                (self.0)();
            }
        }
        if count(1) > 1 {
            self.overlaps.fetch_add(1, Ordering::Relaxed);
        }
        let _counted = Counted(|| {
            count(-1);
        });
        for _ in 0..self.draw() % 4 {
            tokio::task::yield_now().await;
        }
        let verdict = match self.draw() % 10 {
            0..6 => Verdict::Valid,
            6..8 => Verdict::Transient("t".into()),
            _ => Verdict::Permanent("p".into()),
        };
        let mark = target.metadata["mark"].clone();
        if verdict == Verdict::Valid {
            locked(&self.valid).insert(mark.clone());
        }
        locked(&self.given).entry(id.clone()).or_default().push((mark, verdict.clone()));
        verdict
    }
}

#[derive(Clone, Debug)]
enum Step {
    Register { id: &'static str, hosts: Vec<&'static str>, lazy: bool, how: Register },
    Replace { id: &'static str, hosts: Vec<&'static str>, lazy: bool },
    Recheck { id: &'static str },
    Suspend { id: &'static str },
    Resume { id: &'static str },
    Unregister { id: &'static str },
    Look { host: &'static str },
    Ask { host: &'static str },
}

const HOSTS: &[&str] = &["one.example", "two.example", "three.example", "four.example"];

fn hosts() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(select(HOSTS), 1..3)
}

fn step() -> impl Strategy<Value = Step> {
    let id = || select(IDS);
    let how = select(&[Register::AwaitFirstValidation, Register::InBackground][..]);
    prop_oneof![
        4 => (id(), hosts(), any::<bool>(), how).prop_map(|(id, hosts, lazy, how)| Step::Register { id, hosts, lazy, how }),
        3 => (id(), hosts(), any::<bool>()).prop_map(|(id, hosts, lazy)| Step::Replace { id, hosts, lazy }),
        3 => id().prop_map(|id| Step::Recheck { id }),
        1 => id().prop_map(|id| Step::Suspend { id }),
        1 => id().prop_map(|id| Step::Resume { id }),
        2 => id().prop_map(|id| Step::Unregister { id }),
        4 => select(HOSTS).prop_map(|host| Step::Look { host }),
        2 => select(HOSTS).prop_map(|host| Step::Ask { host }),
    ]
}

/// Of each step whether its caller gives up after its first poll.
type Script = Vec<(Step, bool)>;

fn scripts(cancel: f64) -> impl Strategy<Value = Vec<Script>> {
    let script = prop::collection::vec((step(), prop::bool::weighted(cancel)), STEPS);
    prop::collection::vec(script, TASKS)
}

#[derive(Clone)]
struct World {
    registry: Registry,
    chance: Arc<Chance>,
    marks: Arc<AtomicUsize>,
}

impl World {
    fn new(seed: usize) -> Self {
        let chance = Chance::new(seed);
        let registry = TenantRegistry::builder().validator(Arc::clone(&chance)).build();
        Self { registry, chance, marks: Arc::default() }
    }

    fn config(&self, tenant: &'static str, hosts: &[&'static str], lazy: bool) -> TenantConfig<Platform> {
        let mark = self.marks.fetch_add(1, Ordering::Relaxed);
        let platform = Platform { tenant, mark, hosts: hosts.to_vec() };
        let url = |host: &&str| format!("https://{host}");
        let config = if lazy {
            let fails = self.chance.draw().is_multiple_of(4);
            let hosts = hosts.to_vec();
            TenantConfig::lazy(url(&hosts[0]), move || {
                let platform = Platform { tenant, mark, hosts: hosts.clone() };
                async move {
                    tokio::task::yield_now().await;
                    if fails { Err("no database") } else { Ok(platform) }
                }
            })
        } else {
            TenantConfig::new(url(&hosts[0]), platform)
        };
        hosts[1..].iter().fold(config, |config, host| config.alias(url(host))).metadata("mark", mark.to_string())
    }

    /// What holds of whoever is served, whenever.
    fn is_sound(&self, resolved: &Resolved<Platform>, host: Option<&str>) {
        let platform = &resolved.platform;
        assert!(resolved.health.serves());
        assert_eq!(resolved.tenant_id, platform.tenant);
        assert!(locked(&self.chance.valid).contains(&platform.mark.to_string()), "never valid: {platform:?}");
        assert!(host.is_none_or(|host| platform.hosts.contains(&host)), "{platform:?} does not hold {host:?}");
    }

    async fn step(&self, step: &Step, cancelled: bool) {
        let registry = &self.registry;
        let looked = |found: Result<Resolved<Platform>, Refusal>, host: Option<&str>| {
            if let Ok(resolved) = found {
                self.is_sound(&resolved, host);
            }
        };
        match step {
            Step::Register { id, hosts, lazy, how } => {
                done(registry.register(*id, self.config(id, hosts, *lazy), *how), cancelled).await;
            }
            Step::Replace { id, hosts, lazy } => {
                done(registry.replace(id, self.config(id, hosts, *lazy)), cancelled).await
            }
            Step::Recheck { id } => done(registry.recheck(id), cancelled).await,
            Step::Suspend { id } => drop(registry.suspend(id, "not paid")),
            Step::Resume { id } => drop(registry.resume(id)),
            Step::Unregister { id } => drop(registry.unregister(id)),
            Step::Look { host } => {
                for _ in 0..10 {
                    looked(registry.resolve_by_host(host), Some(host));
                    IDS.iter().for_each(|id| looked(registry.get(id), None));
                }
            }
            Step::Ask { host } => {
                let answer = within("an answer", registry.resolve_lazy(host)).await;
                looked(answer, Some(host));
            }
        }
    }
}

async fn done<T>(call: impl Future<Output = T>, cancelled: bool) {
    if cancelled {
        let _ = call.now_or_never();
    } else {
        within("the end of a call", call).await;
    }
}

/// Runs every script in a task of its own, all at once.
async fn run(world: &World, scripts: &[Script]) {
    let tasks = scripts.iter().map(|script| {
        let (world, script) = (world.clone(), script.clone());
        tokio::spawn(async move {
            for (step, cancelled) in &script {
                world.step(step, *cancelled).await;
            }
        })
    });
    for task in join_all(tasks).await {
        assert!(task.is_ok(), "{task:?}");
    }
}

/// The events of each tenant, each of which begins where the one before ended.
fn chains(events: Vec<HealthEvent>) -> BTreeMap<String, Vec<Option<Health>>> {
    let mut chains: BTreeMap<String, Vec<Option<Health>>> = BTreeMap::new();
    for event in events {
        assert_eq!(event.missed, 0);
        assert_ne!(event.from, event.to);
        let chain = chains.entry(event.tenant_id.to_string()).or_insert_with(|| vec![None]);
        assert_eq!(chain.last(), Some(&event.from), "{}: a gap before {event:?}", event.tenant_id);
        chain.push(event.to);
    }
    chains
}

/// Every event there is, read as it comes: more may come than are buffered.
fn collect(registry: &Registry) -> tokio::task::JoinHandle<Vec<HealthEvent>> {
    tokio::spawn(futures_util::StreamExt::collect(registry.subscribe()))
}

async fn nothing_is_left_of(world: World, events: tokio::task::JoinHandle<Vec<HealthEvent>>) -> Vec<HealthEvent> {
    let World { registry, chance, .. } = world;
    drop(registry);
    let events = within("the end of the events", events).await;
    eventually("no task", || Arc::strong_count(&chance) == 1).await;
    assert!(locked(&chance.under_way).values().all(|under_way| *under_way == 0));
    events.unwrap_or_default()
}

fn on_threads<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_time().build();
    match runtime {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => unreachable!("{error}"),
    }
}

/// What became of a tenant by the verdicts on it: its health after each, its configuration, and how often that changed.
fn told_by(given: &[(String, Verdict)], first: &str) -> (Vec<Option<Health>>, String, u64) {
    let (mut chain, mut mark, mut version, mut ever_valid) =
        (vec![None, Some(Health::Pending)], first.to_owned(), 1, false);
    let mut health = Health::Pending;
    for (about, verdict) in given {
        let replaces = *about != mark;
        if replaces && *verdict != Verdict::Valid {
            continue;
        }
        if replaces {
            (mark, version) = (about.clone(), version + 1);
        }
        ever_valid |= *verdict == Verdict::Valid;
        health = health.after(ever_valid, verdict);
        if chain.last() != Some(&Some(health)) {
            chain.push(Some(health));
        }
    }
    (chain, mark, version)
}

/// Scripts for tenants that stay, each with a host of its own, and have their platforms.
fn staying(scripts: Vec<Script>) -> Vec<Script> {
    let stays = |step| match step {
        Step::Register { id, .. } | Step::Replace { id, .. } => {
            let own = IDS.iter().position(|other| *other == id).map_or("", |at| HOSTS[at]);
            Step::Replace { id, hosts: vec![own], lazy: false }
        }
        Step::Unregister { id } => Step::Recheck { id },
        Step::Suspend { .. } | Step::Resume { .. } | Step::Recheck { .. } | Step::Look { .. } | Step::Ask { .. } => {
            step
        }
    };
    scripts
        .into_iter()
        .map(|script| script.into_iter().map(|(step, cancelled)| (stays(step), cancelled)).collect())
        .collect()
}

async fn verdicts_win_in_order(seed: usize, scripts: &[Script]) {
    let world = World::new(seed);
    let mut events = world.registry.subscribe();
    for (id, host) in IDS.iter().zip(HOSTS) {
        let registered = world.registry.register(*id, world.config(id, &[*host], false), Register::default()).await;
        assert!(registered.is_ok());
    }
    run(&world, scripts).await;
    let mut ends = BTreeMap::new();
    for id in IDS {
        world.registry.resume(id);
        ends.insert(*id, super::registered(within("the last recheck", world.registry.recheck(id)).await));
    }
    assert_eq!(world.chance.overlaps.load(Ordering::Relaxed), 0, "two validations of one tenant at once");
    let chains = chains(events_so_far(&mut events));
    let given = locked(&world.chance.given);
    for (first, id) in IDS.iter().enumerate() {
        let (chain, mark, version) = told_by(&given[*id], &first.to_string());
        let status = &ends[id];
        assert_eq!((Some(Some(status.health)), status.config_version), (chain.last().copied(), version), "{id}");
        assert_eq!(chains[*id], chain, "{id}");
        if let Ok(resolved) = world.registry.get(id) {
            assert_eq!(resolved.platform.mark.to_string(), mark);
        }
    }
}

async fn whatever_happens_is_sound(seed: usize, scripts: &[Script]) {
    let world = World::new(seed);
    let events = collect(&world.registry);
    run(&world, scripts).await;
    // Calls that were given up have left nothing reserved.
    let stayed: Vec<_> = IDS.iter().filter(|id| world.registry.unregister(id)).collect();
    let all = world.registry.register("all", world.config("all", HOSTS, false), Register::InBackground).await;
    assert!(all.is_ok(), "{all:?}");
    assert!(world.registry.unregister("all"));
    assert!(world.registry.is_empty());
    let chains = chains(nothing_is_left_of(world, events).await);
    assert!(stayed.iter().all(|id| chains[**id].last() == Some(&None)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_win_in_the_order_in_which_they_were_given(seed in any::<u32>(), scripts in scripts(0.0).prop_map(staying)) {
        on_threads(verdicts_win_in_order(seed as usize, &scripts));
    }

    #[test]
    fn whatever_comes_goes_and_is_given_up_at_once_nobody_is_served_wrongly(seed in any::<u32>(), scripts in scripts(0.3)) {
        on_threads(whatever_happens_is_sound(seed as usize, &scripts));
    }
}

/// One task suspends, resumes and looks; others do what they can to have the tenant served meanwhile.
#[test]
fn a_suspended_tenant_is_never_served_whatever_others_do_with_it() {
    on_threads(async {
        let world = World::new(7);
        let registered = world.registry.register("a", world.config("a", &[HOSTS[0]], false), Register::default()).await;
        assert!(registered.is_ok());
        let others: Vec<_> = (0..4)
            .map(|n| {
                let world = world.clone();
                tokio::spawn(async move {
                    loop {
                        let _ = world.registry.recheck("a").await;
                        let _ = world.registry.replace("a", world.config("a", &[HOSTS[0], HOSTS[1]], n % 2 == 0)).await;
                        let _ = world.registry.resolve_lazy(HOSTS[0]).await;
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for _ in 0..300 {
            assert!(world.registry.suspend("a", "not paid"));
            for _ in 0..20 {
                for answer in [world.registry.get("a"), world.registry.resolve_by_host(HOSTS[0])] {
                    assert!(matches!(answer, Err(Refusal::Suspended { .. })), "{answer:?}");
                }
                tokio::task::yield_now().await;
            }
            assert!(world.registry.resume("a"));
            tokio::task::yield_now().await;
        }
        others.iter().for_each(tokio::task::JoinHandle::abort);
    });
}
