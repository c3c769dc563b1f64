//! One piece of work per key at a time, however many ask for what it brings.
//!
//! [`HostRouter`](crate::HostRouter) looks hosts up through it, [`LazyPlatforms`](crate::LazyPlatforms) builds. The work
//! runs in a task of its own, so that nobody who stops waiting for it stops it. What keeps the outcomes is its callers'; it
//! is written under the lock of the table that is kept here.
//!
//! Invariant: an outcome lands as the current one only if its key was not forgotten since the work began.

use std::any::Any;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;

use crate::reason::Reason;

/// The work under way, by key.
pub(crate) struct Flights<K, O> {
    table: Mutex<HashMap<K, watch::Receiver<Option<O>>>>,
}

/// What [`Flights::join`] found.
pub(crate) enum Joined<O> {
    /// The outcome is there already.
    Landed(O),
    /// Somebody's work on it is under way.
    Aloft(Awaited<O>),
}

/// The outcome of work that is under way. Dropping it stops nothing.
pub(crate) struct Awaited<O>(watch::Receiver<Option<O>>);

impl<O: Clone> Awaited<O> {
    /// None if the work was stopped, which only the end of its runtime does.
    pub(crate) async fn outcome(mut self) -> Option<O> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|outcome| (*outcome).clone())
    }
}

impl<K, O> Flights<K, O>
where
    K: Clone + Eq + Hash + Send + 'static,
    O: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Self {
        Self { table: Mutex::default() }
    }

    /// How much work is under way.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Joins the work on `key`. Where there is none, and `landed` finds no outcome either, it begins with what `begin`
    /// makes, in the current runtime.
    ///
    /// `land` is called with the outcome and whether it is current, before anybody hears of it; `landed` and `land` run
    /// under the table's lock. What `land` returns runs after that, when everybody has heard.
    pub(crate) fn join<W, L, A>(
        self: &Arc<Self>,
        key: K,
        landed: impl FnOnce() -> Option<O>,
        begin: impl FnOnce() -> W,
        land: L,
    ) -> Joined<O>
    where
        W: Future<Output = O> + Send + 'static,
        L: FnOnce(&O, bool) -> A + Send + 'static,
        A: FnOnce(),
    {
        let mut table = self.lock();
        if let Some(flight) = table.get(&key) {
            return Joined::Aloft(Awaited(flight.clone()));
        }
        // What landed between the caller's own look and the lock.
        if let Some(outcome) = landed() {
            return Joined::Landed(outcome);
        }
        let (told, outcome) = watch::channel(None);
        table.insert(key.clone(), outcome.clone());
        drop(table);

        let flight = Flight { flights: Arc::clone(self), key, told, outcome: outcome.clone() };
        let work = begin();
        tokio::spawn(async move {
            let outcome = work.await;
            flight.land(outcome, land);
        });
        Joined::Aloft(Awaited(outcome))
    }

    /// Lets the work on `key` not land as the current one, and the next caller begin anew. `also` runs under the lock.
    pub(crate) fn forget<Q, R>(&self, key: &Q, also: impl FnOnce() -> R) -> (bool, R)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut table = self.lock();
        let was_aloft = table.remove(key).is_some();
        (was_aloft, also())
    }

    /// As [`Self::forget`], for every key.
    pub(crate) fn forget_all<R>(&self, also: impl FnOnce() -> R) -> R {
        let mut table = self.lock();
        table.clear();
        also()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, watch::Receiver<Option<O>>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A piece of work under way. Dropped before it lands, because it panicked or its runtime ended, it makes way for the next.
struct Flight<K, O>
where
    K: Clone + Eq + Hash + Send + 'static,
    O: Clone + Send + Sync + 'static,
{
    flights: Arc<Flights<K, O>>,
    key: K,
    told: watch::Sender<Option<O>>,
    outcome: watch::Receiver<Option<O>>,
}

impl<K, O> Flight<K, O>
where
    K: Clone + Eq + Hash + Send + 'static,
    O: Clone + Send + Sync + 'static,
{
    fn land<A: FnOnce()>(&self, outcome: O, land: impl FnOnce(&O, bool) -> A) {
        let after = {
            let mut table = self.flights.lock();
            let current = table.get(&self.key).is_some_and(|flight| flight.same_channel(&self.outcome));
            let after = land(&outcome, current);
            if current {
                table.remove(&self.key);
            }
            after
        };
        self.told.send_replace(Some(outcome));
        after();
    }
}

impl<K, O> Drop for Flight<K, O>
where
    K: Clone + Eq + Hash + Send + 'static,
    O: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        let mut table = self.flights.lock();
        if table.get(&self.key).is_some_and(|flight| flight.same_channel(&self.outcome)) {
            table.remove(&self.key);
        }
    }
}

/// Why work brought nothing.
pub(crate) enum Fault {
    Failed(Reason),
    Panicked(Reason),
    TimedOut,
}

/// Runs others' code: within a time limit, and without its panics.
pub(crate) async fn guarded<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Reason>> + Send,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(reason))) => Err(Fault::Failed(reason)),
        Ok(Err(panic)) => Err(Fault::Panicked(words_of(&*panic))),
        Err(_) => Err(Fault::TimedOut),
    }
}

/// What a panic said.
pub(crate) fn words_of(panic: &(dyn Any + Send)) -> Reason {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(words), _) => Reason::from(*words),
        (None, Some(words)) => Reason::from(words),
        (None, None) => Reason::from("no words were given"),
    }
}
