//! One tenant: what look-ups see of it, and what that is made of.
//!
//! A [`Slot`] lives from `register` to `unregister`. Everything about the tenant changes under its lock, in
//! [`Slot::change`], which then publishes what look-ups may see and tells what happened to its health. Invariants: look-ups
//! read [`Published`] and nothing else; platforms are never dropped, and nobody's code runs, under the lock; a slot that
//! was left stays left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use super::config::{Draft, Extras, Factory, Source, target};
use super::flight::{Build, Flight};
use super::refusal::Refusal;
use super::standing::Standing;
use super::status::{HealthEvent, Resolved, TenantStatus};
use crate::health::Health;
use crate::id::TenantId;
use crate::reason::Reason;
use crate::route::RouteUrl;
use crate::sync::{Mutex, MutexGuard, lock, step};
use crate::validate::{ValidationTarget, Verdict};

/// What it takes to know the time and to be heard.
pub(crate) struct Surroundings {
    pub(crate) clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
    pub(crate) events: broadcast::Sender<HealthEvent>,
}

/// What look-ups see of a tenant: never changed, only replaced.
pub(crate) struct Published<P> {
    pub(crate) tenant_id: TenantId,
    pub(crate) config_version: u64,
    routes: Numbers,
    outcome: Outcome<P>,
    /// This is what is published; it was not from the beginning, and will not be for ever.
    current: AtomicBool,
}

enum Outcome<P> {
    Served { health: Health, platform: Arc<P> },
    Pending { retry_after: Duration },
    Disabled(Reason),
    Suspended(Reason),
    Left,
}

/// The routes that count, by number, in ascending order.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Numbers {
    One(u32),
    Many(Arc<[u32]>),
}

impl Numbers {
    pub(crate) fn of(numbers: &[u32]) -> Self {
        match numbers {
            [one] => Self::One(*one),
            many => Self::Many(many.into()),
        }
    }
}

impl<P> Published<P> {
    /// Whether this may be read instead of asking the slot.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        self.current.load(Ordering::Acquire)
    }

    /// Whether the route that is known by `number` is the tenant's, as far as look-ups are concerned.
    #[inline]
    pub(crate) fn owns(&self, number: u32) -> bool {
        let owned = match &self.routes {
            Numbers::One(one) => *one == number,
            Numbers::Many(many) => many.binary_search(&number).is_ok(),
        };
        owned && !matches!(self.outcome, Outcome::Left)
    }

    /// Whether look-ups can tell the two apart; whose they are is the same.
    fn says(&self, other: &Self) -> bool {
        self.config_version == other.config_version && self.routes == other.routes && self.outcome.says(&other.outcome)
    }

    #[inline]
    pub(crate) fn resolve(&self) -> Result<Resolved<P>, Refusal> {
        match &self.outcome {
            Outcome::Served { health, platform } => Ok(Resolved {
                tenant_id: self.tenant_id.clone(),
                health: *health,
                platform: Arc::clone(platform),
                config_version: self.config_version,
            }),
            refused => Err(refused.refusal()),
        }
    }
}

impl<P> Outcome<P> {
    fn says(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Served { health, platform }, Self::Served { health: other_health, platform: other }) => {
                health == other_health && Arc::ptr_eq(platform, other)
            }
            (Self::Pending { retry_after }, Self::Pending { retry_after: other }) => retry_after == other,
            (Self::Disabled(reason), Self::Disabled(other)) | (Self::Suspended(reason), Self::Suspended(other)) => {
                reason == other
            }
            (Self::Left, Self::Left) => true,
            _ => false,
        }
    }

    #[cold]
    fn refusal(&self) -> Refusal {
        match self {
            Self::Pending { retry_after } => Refusal::Pending { retry_after: *retry_after },
            Self::Disabled(reason) => Refusal::Disabled { reason: reason.clone() },
            Self::Suspended(reason) => Refusal::Suspended { reason: reason.clone() },
            Self::Served { .. } | Self::Left => Refusal::UnknownTenant,
        }
    }
}

pub(crate) struct Slot<P> {
    published: ArcSwap<Published<P>>,
    state: Mutex<State<P>>,
    left: Notify,
}

/// Everything that is known of a tenant.
pub(crate) struct State<P> {
    pub(crate) tenant_id: TenantId,
    pub(crate) standing: Standing,
    pub(crate) registered: bool,
    pub(crate) config_version: u64,
    pub(crate) routes: Box<[RouteUrl]>,
    /// The numbers of `routes`, in their order.
    pub(crate) numbers: Box<[u32]>,
    /// Routes of a replacement that is not decided yet.
    pub(crate) reserved: Vec<(RouteUrl, u32)>,
    owned: Numbers,
    next_number: u32,
    extras: Option<Box<Extras>>,
    factory: Option<Factory<P>>,
    platform: Option<Arc<P>>,
    pub(crate) reason: Option<Reason>,
    pub(crate) suspended: Option<Reason>,
    last_checked_at: Option<SystemTime>,
    last_valid_at: Option<SystemTime>,
    pub(crate) next_check_at: Option<SystemTime>,
    pub(crate) consecutive_failures: u32,
    /// When the schedule has the tenant down; an entry for any other time is out of date.
    pub(crate) due: Option<Instant>,
    /// The one entry in the schedule that stands for the tenant; it may come too early.
    pub(crate) entry: Option<Instant>,
    pub(crate) flight: Option<Flight>,
    /// See [`Slot::turn`]; most tenants of a registry without a validator never need it.
    turn: Option<Arc<tokio::sync::Mutex<()>>>,
}

impl HealthEvent {
    /// Under no lock: whoever collects logs may ask the registry about what is said.
    pub(crate) fn log(&self) {
        let shown = |health: Option<Health>| health.map_or("none", Health::as_str);
        let (tenant_id, from, to) = (&*self.tenant_id, shown(self.from), shown(self.to));
        let reason = self.reason.as_deref().unwrap_or_default();
        match (self.from, self.to) {
            (Some(_), Some(Health::Disabled)) => tracing::warn!(tenant_id, from, reason, "tenant disabled"),
            (Some(_), Some(_)) => tracing::info!(tenant_id, from, to, reason, "tenant's health changed"),
            _ => tracing::debug!(tenant_id, from, to, "tenant came or went"),
        }
    }
}

/// What was a tenant's and may only be dropped outside its lock: it holds other people's values.
pub(crate) struct Remains<P> {
    _platform: Option<Arc<P>>,
    _factory: Option<Factory<P>>,
    _extras: Option<Box<Extras>>,
}

/// How long a refused caller is asked to wait where nothing is known about when it will be better.
const SOON: Duration = Duration::from_secs(1);
/// The longest that a caller is asked to wait.
const LATEST: Duration = Duration::from_secs(60);

impl<P> Slot<P> {
    pub(crate) fn new(tenant_id: TenantId, draft: Draft<P>, validated_at: Option<SystemTime>) -> Self {
        let (factory, platform) = match draft.source {
            Source::Ready(platform) => (None, Some(platform)),
            Source::Lazy(factory) => (Some(factory), None),
        };
        let mut standing = Standing::new(platform.is_some());
        if validated_at.is_some() {
            standing = standing.after_verdict(&Verdict::Valid);
        }
        let numbers: Box<[u32]> = (0..).take(draft.routes.len()).collect();
        let state = State {
            tenant_id,
            standing,
            registered: false,
            config_version: 1,
            owned: Numbers::of(&numbers),
            next_number: u32::try_from(numbers.len()).unwrap_or(u32::MAX),
            numbers,
            routes: draft.routes,
            reserved: Vec::new(),
            extras: draft.extras,
            factory,
            platform,
            reason: None,
            suspended: None,
            last_checked_at: validated_at,
            last_valid_at: validated_at,
            next_check_at: None,
            consecutive_failures: 0,
            due: None,
            entry: None,
            flight: None,
            turn: None,
        };
        Self { published: ArcSwap::from_pointee(state.published(None)), state: Mutex::new(state), left: Notify::new() }
    }

    #[inline]
    pub(crate) fn published(&self) -> Guard<Arc<Published<P>>> {
        step();
        self.published.load()
    }

    /// Held by whoever validates or replaces: one at a time, in the order they came.
    pub(crate) fn turn(&self) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.read().turn.get_or_insert_with(Arc::default))
    }

    pub(crate) fn read(&self) -> MutexGuard<'_, State<P>> {
        lock(&self.state)
    }

    /// Changes the tenant, publishes what look-ups see of that, if anything, and tells about the health if it is another
    /// one afterwards. Also says whether anything was published.
    pub(crate) fn change<R>(&self, around: &Surroundings, change: impl FnOnce(&mut State<P>) -> R) -> (R, bool) {
        let mut state = self.read();
        let before = state.health();
        let result = change(&mut state);
        let after = state.health();
        let before_published = self.publish(&state, around);
        let event = (before != after).then(|| state.tell(around, before, after));
        drop(state);
        if let Some(event) = event {
            event.log();
        }
        // The last holder of a platform may be this one.
        let published = before_published.is_some();
        drop(before_published);
        (result, published)
    }

    /// Lets the tenant in by `enter`, which makes it known with what is going to be published, and tells of it before
    /// anything else can happen to it. Look-ups see it afterwards, by all its routes at once.
    pub(crate) fn arrive(
        &self,
        around: &Surroundings,
        enter: impl FnOnce(&State<P>, &Arc<Published<P>>),
    ) -> HealthEvent {
        let mut state = self.read();
        state.registered = true;
        let first = Arc::new(state.published(Some(around)));
        enter(&state, &first);
        // What was there before served nobody, and holds nothing of other people's.
        drop(self.switch(first));
        state.tell(around, None, state.health())
    }

    /// Publishes what look-ups see now, unless it is what they see already. What was published before holds a platform:
    /// whoever drops it must hold no lock.
    fn publish(&self, state: &State<P>, around: &Surroundings) -> Option<Arc<Published<P>>> {
        let next = state.published(Some(around));
        let same = self.published.load().says(&next);
        (!same).then(|| self.switch(Arc::new(next)))
    }

    /// Until the swap everybody who asks is told the old, from then on the new: what is remembered elsewhere counts only
    /// while nothing is being switched.
    fn switch(&self, next: Arc<Published<P>>) -> Arc<Published<P>> {
        self.published.load().current.store(false, Ordering::Release);
        step();
        let before = self.published.swap(Arc::clone(&next));
        step();
        next.current.store(true, Ordering::Release);
        before
    }

    /// The tenant is no longer registered, for look-ups from this moment on.
    pub(crate) fn leave(&self, around: &Surroundings) -> Remains<P> {
        let (remains, _) = self.change(around, |state| {
            state.registered = false;
            state.reason = None;
            Remains { _platform: state.platform.take(), _factory: state.factory.take(), _extras: state.extras.take() }
        });
        self.left.notify_waiters();
        remains
    }

    /// Returns once the tenant is no longer registered.
    pub(crate) async fn has_left(&self) {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            // From here on a notification is not missed, so that a look afterwards is enough.
            left.as_mut().enable();
            if !self.read().registered {
                return;
            }
            left.await;
        }
    }
}

impl<P> State<P> {
    /// None once the tenant has left.
    fn health(&self) -> Option<Health> {
        self.registered.then_some(self.standing.health)
    }

    fn published(&self, around: Option<&Surroundings>) -> Published<P> {
        let outcome = match (&self.suspended, self.standing.health, &self.platform) {
            _ if !self.registered => Outcome::Left,
            (Some(reason), _, _) => Outcome::Suspended(reason.clone()),
            (None, Health::Disabled, _) => {
                Outcome::Disabled(self.reason.clone().unwrap_or_else(|| Reason::from("disabled")))
            }
            (None, health, Some(platform)) if health.serves() => {
                Outcome::Served { health, platform: Arc::clone(platform) }
            }
            (None, _, _) => Outcome::Pending { retry_after: self.retry_after(around) },
        };
        Published {
            tenant_id: self.tenant_id.clone(),
            config_version: self.config_version,
            routes: self.owned.clone(),
            outcome,
            current: AtomicBool::new(false),
        }
    }

    fn retry_after(&self, around: Option<&Surroundings>) -> Duration {
        let until_next = self
            .next_check_at
            .zip(around)
            .and_then(|(next, around)| next.duration_since((around.clock)()).ok())
            .unwrap_or(SOON);
        until_next.clamp(SOON, LATEST)
    }

    /// Sends the event. What is returned is to be logged once the lock is given back.
    fn tell(&self, around: &Surroundings, from: Option<Health>, to: Option<Health>) -> HealthEvent {
        let event = HealthEvent {
            tenant_id: self.tenant_id.clone(),
            from,
            to,
            reason: self.reason.clone(),
            at: (around.clock)(),
            missed: 0,
        };
        // Nobody may be listening.
        let _ = around.events.send(event.clone());
        event
    }

    pub(crate) fn status(&self) -> TenantStatus {
        TenantStatus {
            tenant_id: self.tenant_id.clone(),
            urls: self.routes.iter().map(RouteUrl::to_string).collect(),
            health: self.standing.health,
            reason: self.reason.clone(),
            suspended: self.suspended.clone(),
            last_checked_at: self.last_checked_at,
            last_valid_at: self.last_valid_at,
            next_check_at: self.next_check_at,
            consecutive_failures: self.consecutive_failures,
            config_version: self.config_version,
            label: self.extras.as_ref().and_then(|extras| extras.label.clone()),
        }
    }

    pub(crate) fn target(&self) -> ValidationTarget {
        target(&self.tenant_id, &self.routes, self.extras.as_deref())
    }

    /// The factory, where there is still something to build of a valid configuration, and it is to be built.
    pub(crate) fn to_build(&self, build: Build) -> Option<Factory<P>> {
        let wanted = match build {
            Build::No => false,
            Build::ForRequest => self.waits_for_request(),
            Build::Yes => self.registered && !self.standing.built,
        };
        self.factory.as_ref().filter(|_| wanted && self.standing.validated).cloned()
    }

    /// Whether a request may have the platform built: no other trouble is in the way.
    pub(crate) fn waits_for_request(&self) -> bool {
        self.registered && self.suspended.is_none() && !self.standing.built && self.standing.health == Health::Pending
    }

    pub(crate) fn found(&mut self, verdict: &Verdict, now: SystemTime) {
        self.last_checked_at = Some(now);
        match verdict {
            Verdict::Valid => {
                self.last_valid_at = Some(now);
                // What a factory said stands until it is run again.
                if !self.standing.build_failed() {
                    self.reason = None;
                    self.consecutive_failures = 0;
                }
            }
            Verdict::Transient(reason) | Verdict::Permanent(reason) => {
                self.consecutive_failures = self.consecutive_failures.saturating_add(1);
                // The lasting reason of a disabled tenant is not replaced by a passing one.
                if !matches!((verdict, self.standing.health), (Verdict::Transient(_), Health::Disabled)) {
                    self.reason = Some(reason.clone());
                }
            }
        }
        self.standing = self.standing.after_verdict(verdict);
    }

    pub(crate) fn was_built(&mut self, outcome: Result<Arc<P>, Reason>) {
        self.standing = self.standing.after_build(outcome.is_ok());
        match outcome {
            Ok(platform) => {
                self.platform = Some(platform);
                if self.standing.health == Health::Healthy {
                    self.reason = None;
                    self.consecutive_failures = 0;
                }
            }
            Err(reason) => {
                self.reason = Some(reason);
                self.consecutive_failures = self.consecutive_failures.saturating_add(1);
            }
        }
    }

    /// A number that no route of this slot had before.
    pub(crate) fn number(&mut self) -> u32 {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        number
    }

    /// Takes a new configuration over, which was validated at `now` and is built.
    pub(crate) fn take_over(&mut self, new: Replacement<P>, now: SystemTime) -> Remains<P> {
        let mut owned = new.numbers.clone();
        owned.sort_unstable();
        self.owned = Numbers::of(&owned);
        let remains = Remains {
            _platform: self.platform.replace(new.platform),
            _factory: std::mem::replace(&mut self.factory, new.factory),
            _extras: std::mem::replace(&mut self.extras, new.extras),
        };
        (self.routes, self.numbers) = (new.routes, new.numbers);
        self.config_version += 1;
        self.standing = Standing::replaced();
        (self.reason, self.consecutive_failures) = (None, 0);
        (self.last_checked_at, self.last_valid_at) = (Some(now), Some(now));
        remains
    }
}

/// A configuration that is ready to be switched to.
pub(crate) struct Replacement<P> {
    pub(crate) routes: Box<[RouteUrl]>,
    pub(crate) numbers: Box<[u32]>,
    pub(crate) extras: Option<Box<Extras>>,
    pub(crate) factory: Option<Factory<P>>,
    pub(crate) platform: Arc<P>,
}
