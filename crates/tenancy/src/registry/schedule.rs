//! When which tenant is validated again, by itself.
//!
//! Verdicts put their tenant down for the next check; one task per registry waits for the earliest and has it flown
//! like any other recheck, without building anything. Delays are spread by a jitter, so that tenants which were
//! registered together do not stay together, and double with each failure in a row. Invariant: a tenant has at most one
//! entry that counts, the latest one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Inner;
use super::flight::{Build, Wanted};
use super::slot::Slot;
use crate::sync::{Mutex, lock, spawn, within};

/// A failing tenant is checked less and less often, but never less often than this many times the interval.
const SLOWEST: u32 = 8;
/// The part of a delay that chance may take off or add.
const JITTER: f64 = 0.1;
/// How many tenants are rechecked at once.
const AT_ONCE: usize = 64;
/// Fewer entries than this are not worth looking through.
const SWEEP_MIN: usize = 512;

pub(crate) struct Schedule<P> {
    every: Option<Duration>,
    shared: Arc<Shared<P>>,
    random: RandomState,
    drawn: AtomicU64,
}

struct Shared<P> {
    entries: Mutex<BinaryHeap<Reverse<Entry<P>>>>,
    changed: Notify,
    running: AtomicBool,
    /// How many entries there may be before those of tenants that left are looked for.
    sweep_at: AtomicUsize,
}

struct Entry<P> {
    due: Instant,
    slot: Weak<Slot<P>>,
}

impl<P> PartialEq for Entry<P> {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl<P> Eq for Entry<P> {}

impl<P> PartialOrd for Entry<P> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> Ord for Entry<P> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

impl<P> Schedule<P> {
    pub(crate) fn new(every: Option<Duration>) -> Self {
        let shared = Shared {
            entries: Mutex::new(BinaryHeap::new()),
            changed: Notify::new(),
            running: AtomicBool::new(false),
            sweep_at: AtomicUsize::new(SWEEP_MIN),
        };
        Self { every, shared: Arc::new(shared), random: RandomState::new(), drawn: AtomicU64::new(0) }
    }

    /// How long until the next check after so many failures in a row. None where nothing is rechecked.
    pub(crate) fn next(&self, failures: u32) -> Option<Duration> {
        let every = self.every?;
        let backed_off = every.saturating_mul(back_off(failures));
        // Hashing a counter is all the chance that a jitter needs.
        let drawn = self.random.hash_one(self.drawn.fetch_add(1, Ordering::Relaxed));
        #[expect(clippy::cast_precision_loss, reason = "32 bits of chance are plenty")]
        let share = (drawn >> 32) as f64 / f64::from(u32::MAX);
        let seconds = backed_off.as_secs_f64() * (1.0 - JITTER + 2.0 * JITTER * share);
        // "Never" is an interval too.
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

/// 1 while all is well and after the first failure, then 2, 4, 8.
fn back_off(failures: u32) -> u32 {
    2_u32.saturating_pow(failures.saturating_sub(1)).min(SLOWEST)
}

impl<P: Send + Sync + 'static> Schedule<P> {
    /// Puts `slot` down for `delay` from now, instead of for whenever it was.
    pub(crate) fn put(&self, slot: &Arc<Slot<P>>, delay: Duration) {
        let Some(due) = Instant::now().checked_add(delay) else { return };
        {
            let mut state = slot.read();
            state.due = Some(due);
            // An entry that comes too early is put off when it comes: one per tenant is enough.
            if state.entry.is_some_and(|entry| entry <= due) {
                return;
            }
            state.entry = Some(due);
        }
        self.shared.enter(Entry { due, slot: Arc::downgrade(slot) });
    }

    /// Sees to it that somebody follows the schedule, also when the runtime of who did has ended. From within a runtime.
    pub(crate) fn follow(&self, inner: &Arc<Inner<P>>) {
        if self.every.is_none() || self.shared.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let follower = Follower { shared: Arc::clone(&self.shared), inner: Arc::downgrade(inner) };
        spawn(follower.run());
    }
}

impl<P> Shared<P> {
    fn enter(&self, entry: Entry<P>) {
        let mut entries = lock(&self.entries);
        // Tenants that left keep their place, and their memory, until somebody looks: often enough to be cheap.
        if entries.len() >= self.sweep_at.load(Ordering::Relaxed) {
            entries.retain(|Reverse(entry)| entry.slot.strong_count() > 0);
            self.sweep_at.store(2 * entries.len().max(SWEEP_MIN), Ordering::Relaxed);
        }
        let first = entries.peek().is_none_or(|Reverse(held)| entry.due < held.due);
        entries.push(Reverse(entry));
        drop(entries);
        if first {
            self.changed.notify_one();
        }
    }
}

impl<P> Drop for Schedule<P> {
    fn drop(&mut self) {
        // The follower has a look, and finds the registry gone.
        self.shared.changed.notify_one();
    }
}

struct Follower<P> {
    shared: Arc<Shared<P>>,
    inner: Weak<Inner<P>>,
}

impl<P> Drop for Follower<P> {
    fn drop(&mut self) {
        self.shared.running.store(false, Ordering::Release);
    }
}

impl<P: Send + Sync + 'static> Follower<P> {
    async fn run(self) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        while self.inner.strong_count() > 0 {
            match self.next() {
                Some(due) if due <= Instant::now() => {
                    let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                    self.send_off(place);
                }
                Some(due) => {
                    // Either is reason enough for another look.
                    let _ = tokio::time::timeout_at(due, self.shared.changed.notified()).await;
                }
                None => self.shared.changed.notified().await,
            }
        }
    }

    /// Has the earliest that is due validated; the place is free again after that.
    fn send_off(&self, place: OwnedSemaphorePermit) {
        let (Some(inner), Some(slot)) = (self.inner.upgrade(), self.take()) else { return };
        // For the case that this one is lost with its runtime: a verdict puts the tenant down anew.
        if let Some(delay) = inner.schedule.next(0) {
            inner.schedule.put(&slot, delay);
        }
        let limit = inner.settings.validation_timeout;
        if let Some(ticket) = inner.board(&slot, Wanted { validate: true, build: Build::No }) {
            spawn(async move {
                // It may wait for somebody's replacement for as long as it likes, but not in the way of others.
                let _ = within(limit, ticket.landed()).await;
                drop(place);
            });
        }
    }

    fn next(&self) -> Option<Instant> {
        lock(&self.shared.entries).peek().map(|Reverse(entry)| entry.due)
    }

    /// The slot of the earliest entry that is due, unless it was put off since, or has left.
    fn take(&self) -> Option<Arc<Slot<P>>> {
        let now = Instant::now();
        let entry = {
            let mut entries = lock(&self.shared.entries);
            entries.peek().filter(|Reverse(entry)| entry.due <= now)?;
            entries.pop()?.0
        };
        let slot = entry.slot.upgrade()?;
        let later = {
            let mut state = slot.read();
            if state.entry != Some(entry.due) {
                return None;
            }
            state.entry = state.due.filter(|due| *due > now);
            state.entry
        };
        match later {
            None => Some(slot),
            Some(due) => {
                self.shared.enter(Entry { due, slot: entry.slot });
                None
            }
        }
    }
}
