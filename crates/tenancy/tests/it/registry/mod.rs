//! The registry as an embedder sees it, sentence by sentence of the contract, and then by chance and under load.
//!
//! What every file needs stands here: a [`Judge`], which is a validator that says what a test tells it to and counts what
//! it is asked, a [`Works`] for factories, and short ways to register and to ask. Invariant: a test waits for a
//! condition with a deadline, or in tokio's paused time, never for a number of seconds.

mod allocations;
mod background;
mod bad_input;
mod concurrent;
mod drops;
mod events;
mod health;
mod lazy;
mod leaving;
mod model;
mod recheck;
mod registering;
mod replacing;
mod routing;
mod runtimes;
mod stress;
mod suspension;
mod switching;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tenancy::{
    Health, HealthEvent, HealthEvents, Refusal, Register, RegistryError, TenantConfig, TenantRegistry,
    TenantRegistryBuilder, TenantStatus, ValidationTarget, Validator, Verdict, async_trait,
};
use tokio::sync::watch;

type Registry = TenantRegistry<&'static str>;

/// Longer than anything takes that works.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
enum Answer {
    Says(Verdict),
    /// Until the judge is told otherwise.
    Hangs,
    Panics,
    Takes(Duration, Verdict),
}

fn valid() -> Answer {
    Answer::Says(Verdict::Valid)
}

fn transient(reason: &str) -> Answer {
    Answer::Says(Verdict::Transient(reason.into()))
}

fn permanent(reason: &str) -> Answer {
    Answer::Says(Verdict::Permanent(reason.into()))
}

/// A validator that says `Valid` unless it was told otherwise: about a tenant, or about a configuration by its label in
/// the metadata (see [`marked`]), which comes first.
#[derive(Default)]
struct Judge {
    answers: watch::Sender<HashMap<String, Answer>>,
    asked: watch::Sender<Vec<ValidationTarget>>,
    under_way: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Judge {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Of whom nothing was said this is said.
    fn of(about: &str, answer: Answer) -> Arc<Self> {
        let judge = Self::new();
        judge.tell(about, answer);
        judge
    }

    fn tell(&self, about: &str, answer: Answer) {
        self.answers.send_modify(|answers| {
            answers.insert(about.to_owned(), answer);
        });
    }

    fn calls(&self) -> usize {
        self.asked.borrow().len()
    }

    fn last_target(&self) -> Option<ValidationTarget> {
        self.asked.borrow().last().cloned()
    }

    /// Waits until it was asked `times` in all.
    async fn was_asked(&self, times: usize) {
        let mut asked = self.asked.subscribe();
        let enough = asked.wait_for(|asked| asked.len() >= times);
        assert!(tokio::time::timeout(DEADLINE, enough).await.is_ok(), "not asked {times} times");
    }

    fn answer(answers: &HashMap<String, Answer>, target: &ValidationTarget) -> Answer {
        let marked = target.metadata.get("mark").and_then(|mark| answers.get(mark));
        marked.or_else(|| answers.get(&*target.tenant_id)).cloned().unwrap_or_else(valid)
    }
}

/// Counts a validation for as long as it is there, also when it is dropped half-way.
struct UnderWay<'a>(&'a Judge);

impl<'a> UnderWay<'a> {
    fn of(judge: &'a Judge) -> Self {
        let now = judge.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        judge.most_at_once.fetch_max(now, Ordering::SeqCst);
        Self(judge)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Validator for Judge {
    async fn validate(&self, target: &ValidationTarget) -> Verdict {
        let _under_way = UnderWay::of(self);
        let mut answers = self.answers.subscribe();
        self.asked.send_modify(|asked| asked.push(target.clone()));
        loop {
            let answer = Self::answer(&answers.borrow_and_update(), target);
            match answer {
                Answer::Says(verdict) => return verdict,
                Answer::Panics => unreachable!("the judge was told to panic"),
                Answer::Takes(time, verdict) => {
                    tokio::time::sleep(time).await;
                    return verdict;
                }
                Answer::Hangs => {
                    let _ = answers.changed().await;
                }
            }
        }
    }
}

/// What lazy tenants are built in: it succeeds unless told otherwise, and counts.
#[derive(Clone, Default)]
struct Works(Arc<WorksState>);

#[derive(Default)]
struct WorksState {
    answer: watch::Sender<Work>,
    runs: watch::Sender<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Work {
    #[default]
    Succeeds,
    Fails(&'static str),
    Hangs,
    Panics,
}

impl Works {
    fn that(work: Work) -> Self {
        let works = Self::default();
        works.tell(work);
        works
    }

    fn tell(&self, work: Work) {
        self.0.answer.send_replace(work);
    }

    fn runs(&self) -> usize {
        *self.0.runs.borrow()
    }

    async fn ran(&self, times: usize) {
        let mut runs = self.0.runs.subscribe();
        let enough = runs.wait_for(|runs| *runs >= times);
        assert!(tokio::time::timeout(DEADLINE, enough).await.is_ok(), "not run {times} times");
    }

    /// A lazy configuration whose platform is `name`.
    fn config(&self, url: &str, name: &'static str) -> TenantConfig<&'static str> {
        let works = Arc::clone(&self.0);
        TenantConfig::lazy(url, move || {
            let works = Arc::clone(&works);
            works.runs.send_modify(|runs| *runs += 1);
            async move { works.build(name).await }
        })
        .metadata("mark", name)
    }
}

impl WorksState {
    async fn build(&self, name: &'static str) -> Result<&'static str, &'static str> {
        let mut answer = self.answer.subscribe();
        loop {
            let work = *answer.borrow_and_update();
            match work {
                Work::Succeeds => return Ok(name),
                Work::Fails(reason) => return Err(reason),
                Work::Panics => unreachable!("the works were told to panic"),
                Work::Hangs => {
                    let _ = answer.changed().await;
                }
            }
        }
    }
}

/// A configuration that a [`Judge`] knows by the name of its platform.
fn marked(url: &str, name: &'static str) -> TenantConfig<&'static str> {
    TenantConfig::new(url, name).metadata("mark", name)
}

fn open() -> Registry {
    TenantRegistry::builder().build()
}

fn judged(judge: &Arc<Judge>) -> TenantRegistryBuilder<&'static str> {
    TenantRegistry::builder().validator(Arc::clone(judge))
}

/// Registers a tenant at a URL with its own id for a platform, and waits.
async fn enter(registry: &Registry, id: &'static str, url: &str) -> TenantStatus {
    registered(registry.register(id, marked(url, id), Register::default()).await)
}

#[track_caller]
fn registered(result: Result<TenantStatus, RegistryError>) -> TenantStatus {
    match result {
        Ok(status) => status,
        Err(error) => unreachable!("{error}"),
    }
}

/// The platform that serves there, or how it is refused.
#[track_caller]
fn at(registry: &Registry, host: &str, path: &str) -> Result<&'static str, Refusal> {
    registry.resolve_by_request(host, path).map(|resolved| *resolved.platform)
}

#[track_caller]
fn serves(registry: &Registry, host: &str, path: &str, platform: &str) {
    assert_eq!(at(registry, host, path), Ok(platform), "{host}{path}");
}

#[track_caller]
fn nobody_at(registry: &Registry, host: &str, path: &str) {
    assert_eq!(at(registry, host, path), Err(Refusal::UnknownHost), "{host}{path}");
}

#[track_caller]
fn taken(result: &Result<TenantStatus, RegistryError>, host: &str, path: &str, holder: &str) {
    let (host, path, holder) = (host.to_owned(), path.to_owned(), holder.into());
    assert_eq!(*result, Err(RegistryError::RouteTaken { host, path, holder }));
}

fn unknown_tenant(id: &str) -> RegistryError {
    RegistryError::UnknownTenant { tenant_id: id.into() }
}

/// Waits for what is expected to happen.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => unreachable!("not in time: {what}"),
    }
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Every event that is there already, whatever tokio thinks of one task that reads so much.
fn events_so_far(events: &mut HealthEvents) -> Vec<HealthEvent> {
    std::iter::from_fn(|| tokio::task::unconstrained(events.next()).now_or_never().flatten()).collect()
}

type Change = (String, Option<Health>, Option<Health>);

fn changes_so_far(events: &mut HealthEvents) -> Vec<Change> {
    let change = |event: HealthEvent| (event.tenant_id.to_string(), event.from, event.to);
    events_so_far(events).into_iter().map(change).collect()
}
