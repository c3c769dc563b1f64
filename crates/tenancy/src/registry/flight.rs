//! Validating and building one tenant, once for everybody who waits for it.
//!
//! `register`, `recheck`, requests for lazy tenants and the background recheck all ask for a flight: a task that takes
//! the tenant's turn, validates and builds as it was asked to, and lands with the tenant's status. Whoever asks while
//! one is under way joins it. Invariants: one validation at a time per tenant; the task depends on no caller; a verdict
//! or a platform that arrives after the tenant left changes nothing.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::sync::{OwnedMutexGuard, watch};

use super::Inner;
use super::config::Factory;
use super::slot::Slot;
use super::status::TenantStatus;
use crate::reason::Reason;
use crate::sync::{spawn, within};
use crate::validate::{ValidationTarget, Verdict};

/// How a flight ended: with the tenant's status, or with the tenant gone.
pub(crate) type Landed = Option<Box<TenantStatus>>;

/// A flight that is under way, as its tenant's state knows it.
pub(crate) struct Flight {
    landed: watch::Receiver<Option<Landed>>,
    /// It has validated, or is going to.
    validates: bool,
    /// It has yet to validate.
    to_validate: bool,
    /// Whether it is to build what is not built.
    builds: Build,
}

/// What somebody wants of a tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) validate: bool,
    pub(crate) build: Build,
}

/// Whether a platform is to be built that is not there, from the weakest wish to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Build {
    No,
    /// A request waits for it: not of a tenant that is suspended, and not where a factory has failed already, which may
    /// have come to pass after the request asked.
    ForRequest,
    Yes,
}

/// Who waits for a flight.
pub(crate) struct Ticket(watch::Receiver<Option<Landed>>);

impl Ticket {
    /// Waits for the end. `Err` means that the flight was lost with the runtime it was in.
    pub(crate) async fn landed(mut self) -> Result<Landed, Lost> {
        let landed = self.0.wait_for(Option::is_some).await.map_err(|_| Lost)?;
        landed.clone().ok_or(Lost)
    }
}

#[derive(Debug)]
pub(crate) struct Lost;

impl Flight {
    /// Nobody flies it any more.
    fn is_lost(&self) -> bool {
        self.landed.has_changed().is_err() && self.landed.borrow().is_none()
    }
}

enum Step<P> {
    Validate(ValidationTarget),
    Build(Factory<P>),
    End,
}

impl<P: Send + Sync + 'static> Inner<P> {
    /// Has `wanted` done, and waits for it; none if the tenant leaves, also where the flight does not come to see it.
    pub(crate) async fn fly(self: &Arc<Self>, slot: &Arc<Slot<P>>, wanted: Wanted) -> Landed {
        loop {
            let ticket = self.board(slot, wanted)?;
            if let Ok(landed) = or_left(slot, ticket.landed()).await? {
                return landed;
            }
            // The flight's runtime ended under it. This one is alive: once more.
        }
    }

    /// Joins the flight under way, or begins one. None if the tenant has left.
    pub(crate) fn board(self: &Arc<Self>, slot: &Arc<Slot<P>>, wanted: Wanted) -> Option<Ticket> {
        let (pilot, ticket) = {
            let mut state = slot.read();
            if !state.registered {
                return None;
            }
            if let Some(flight) = state.flight.as_mut().filter(|flight| !flight.is_lost()) {
                flight.to_validate |= wanted.validate && !flight.validates;
                flight.validates |= wanted.validate;
                flight.builds = flight.builds.max(wanted.build);
                return Some(Ticket(flight.landed.clone()));
            }
            let (pilot, landed) = watch::channel(None);
            let ticket = Ticket(landed.clone());
            let Wanted { validate, build } = wanted;
            state.flight = Some(Flight { landed, validates: validate, to_validate: validate, builds: build });
            (pilot, ticket)
        };
        // Asked for now: who comes later waits, also where the task is polled later still.
        let turn = slot.turn().try_lock_owned().ok();
        let (inner, slot) = (Arc::clone(self), Arc::clone(slot));
        spawn(async move { inner.pilot(&slot, turn, pilot).await });
        Some(ticket)
    }

    async fn pilot(
        self: Arc<Self>,
        slot: &Arc<Slot<P>>,
        turn: Option<OwnedMutexGuard<()>>,
        pilot: watch::Sender<Option<Landed>>,
    ) {
        let turn = match turn {
            Some(turn) => Some(turn),
            None => or_left(slot, slot.turn().lock_owned()).await,
        };
        let landed = match turn {
            Some(_turn) => self.fly_on(slot).await,
            None => None,
        };
        pilot.send_replace(Some(landed));
    }

    async fn fly_on(&self, slot: &Arc<Slot<P>>) -> Landed {
        loop {
            let step = {
                let mut state = slot.read();
                let flight = state.flight.as_mut()?;
                let builds = flight.builds;
                if flight.to_validate {
                    flight.to_validate = false;
                    Step::Validate(state.target())
                } else if let Some(factory) = state.to_build(builds) {
                    Step::Build(factory)
                } else {
                    Step::End
                }
            };
            match step {
                Step::Validate(target) => {
                    let verdict = or_left(slot, self.validate(target)).await?;
                    self.found(slot, &verdict)?;
                }
                Step::Build(factory) => {
                    let built = or_left(slot, self.build(factory)).await?;
                    self.was_built(slot, built)?;
                }
                Step::End => {
                    let mut state = slot.read();
                    // Somebody may have come aboard since the look.
                    let more = state
                        .flight
                        .as_ref()
                        .is_some_and(|flight| flight.to_validate || state.to_build(flight.builds).is_some());
                    if !more {
                        state.flight = None;
                        return state.registered.then(|| Box::new(state.status()));
                    }
                }
            }
        }
    }

    /// Writes a verdict down. None if the tenant has left.
    fn found(&self, slot: &Arc<Slot<P>>, verdict: &Verdict) -> Option<()> {
        let now = (self.around.clock)();
        let next = self.change(slot, |state| {
            if !state.registered {
                return None;
            }
            state.found(verdict, now);
            // What was refused just now is not built for those who asked before.
            if !matches!(verdict, Verdict::Valid)
                && let Some(flight) = &mut state.flight
            {
                flight.builds = Build::No;
            }
            let next = self.schedule.next(state.consecutive_failures);
            state.next_check_at = next.and_then(|delay| now.checked_add(delay));
            Some(next)
        })?;
        if let Some(delay) = next {
            self.schedule.put(slot, delay);
        }
        Some(())
    }

    fn was_built(&self, slot: &Arc<Slot<P>>, built: Result<Arc<P>, Reason>) -> Option<()> {
        let unused = self.change(slot, |state| {
            if !state.registered {
                return Err(built);
            }
            if let (Err(_), Some(flight)) = (&built, &mut state.flight) {
                // Once per asking: a failure is an answer too.
                flight.builds = Build::No;
            }
            state.was_built(built);
            Ok(())
        });
        unused.ok()
    }

    /// One verdict, whatever the validator does.
    pub(crate) async fn validate(&self, target: ValidationTarget) -> Verdict {
        let Some(validator) = &self.validator else {
            return Verdict::Valid;
        };
        let limit = self.settings.validation_timeout;
        // The call itself may panic too, and not only what it returns.
        let validation = AssertUnwindSafe(async { validator.validate(&target).await }).catch_unwind();
        match within(limit, validation).await {
            Some(Ok(verdict)) => verdict,
            Some(Err(_)) => Verdict::Transient("the validator panicked".into()),
            None => Verdict::Transient(format!("the validation took longer than {}", shown(limit)).into()),
        }
    }

    /// One platform, or why there is none.
    pub(crate) async fn build(&self, factory: Factory<P>) -> Result<Arc<P>, Reason> {
        let limit = self.settings.factory_timeout;
        let building = AssertUnwindSafe(async { factory().await }).catch_unwind();
        match within(limit, building).await {
            Some(Ok(built)) => built.map(Arc::new),
            Some(Err(_)) => Err("the factory panicked".into()),
            None => Err(format!("the factory took longer than {}", shown(limit)).into()),
        }
    }
}

/// The output of `work`, or none once the tenant has left.
pub(crate) async fn or_left<P, T>(slot: &Slot<P>, work: impl Future<Output = T>) -> Option<T> {
    // In this order: nothing more is begun for a tenant that has left.
    match select(std::pin::pin!(slot.has_left()), std::pin::pin!(work)).await {
        Either::Left(((), _)) => None,
        Either::Right((output, _)) => Some(output),
    }
}

fn shown(limit: Duration) -> String {
    format!("{limit:?}")
}
