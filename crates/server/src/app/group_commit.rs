//! Events that are published one at a time, committed together.
//!
//! Products publish event by event, and a commit that waits for the disk takes as long for one event as for a hundred. So
//! `app/audit.rs` hands single events over: while a writer is at work the next ones gather, and go as one batch. Nobody
//! waits for company: an event that finds no writer at work is written at once. Invariants: nobody is answered before the
//! commit of their event; an event that the store refuses fails nobody's but its own publisher.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{AuditEvent, Error, Result};
use store::{Publisher, Store, StoreError};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How many batches are written at once: while one waits for its commit, the next is sent.
const WRITERS: usize = 2;
/// The most events of a batch, which bounds how long its statement is.
const BATCH: usize = 100;
/// How many events may wait; beyond that publishers are told to come again.
const WAITING_MAX: usize = 5_000;
/// After this long a batch is given up, and nothing that has waited as long is begun with: its publisher has been told so.
/// A statement's own limit is the server's to keep; a server that is gone without a word keeps none.
const PATIENCE: Duration = Duration::from_secs(12);

/// What gathers, and who writes it.
#[derive(Debug)]
pub(super) struct GroupCommit {
    store: Arc<dyn Store>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Waiting>,
    writers: usize,
}

#[derive(Debug)]
struct Waiting {
    event: AuditEvent,
    since: Instant,
    done: oneshot::Sender<Result<()>>,
}

impl GroupCommit {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, state: Mutex::default() }
    }

    /// Stores an event that claims nothing: it has no external id. Returns once it is committed.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn append(self: &Arc<Self>, event: AuditEvent) -> Result<()> {
        let (done, committed) = oneshot::channel();
        let begins = {
            let mut state = self.lock();
            if state.waiting.len() >= WAITING_MAX {
                return Err(Error::Unavailable { internal: format!("{WAITING_MAX} events wait to be written") });
            }
            state.waiting.push(Waiting { event, since: Instant::now(), done });
            let begins = state.writers < WRITERS;
            state.writers += usize::from(begins);
            begins
        };
        if begins {
            tokio::spawn(Writer { shared: Arc::clone(self), working: true }.run(self.store.publisher()));
        }
        committed.await.unwrap_or_else(|_| Err(Error::internal("a writer of events panicked")))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write(publisher: &mut dyn Publisher, batch: Vec<Waiting>) {
    let (mut events, waiting): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.event, one.done)).unzip();
    match publish(publisher, &events).await {
        // One that the store refuses must not take the others with it.
        Err(error) if events.len() > 1 && is_about_a_row(&error) => {
            for (event, done) in events.drain(..).zip(waiting) {
                let outcome = publish(publisher, &[event]).await.map_err(Error::from);
                let _ = done.send(outcome);
            }
        }
        outcome => {
            let outcome = outcome.map_err(Error::from);
            for done in waiting {
                // Nobody listens where the service is being stopped.
                let _ = done.send(outcome.clone());
            }
        }
    }
}

async fn publish(publisher: &mut dyn Publisher, events: &[AuditEvent]) -> Result<(), StoreError> {
    let written = tokio::time::timeout(PATIENCE, publisher.publish(events)).await;
    written.unwrap_or_else(|_| Err(StoreError::Timeout(format!("no end within {PATIENCE:?}"))))
}

/// Whether nothing is stored, and another batch of the same events could do better.
fn is_about_a_row(error: &StoreError) -> bool {
    !matches!(error, StoreError::Unavailable(_) | StoreError::Timeout(_))
}

/// A place among the writers, given back when there is nothing left to write.
struct Writer {
    shared: Arc<GroupCommit>,
    working: bool,
}

impl Writer {
    async fn run(mut self, mut publisher: Box<dyn Publisher>) {
        while let Some(batch) = self.take() {
            write(&mut *publisher, batch).await;
        }
    }

    fn take(&mut self) -> Option<Vec<Waiting>> {
        let mut state = self.shared.lock();
        let late = state.waiting.iter().take_while(|one| one.since.elapsed() > PATIENCE).count();
        for one in state.waiting.drain(..late) {
            let internal = "an event waited too long for its turn to be written".to_owned();
            let _ = one.done.send(Err(Error::Unavailable { internal }));
        }
        let most = state.waiting.len().min(BATCH);
        if most == 0 {
            // Under the same lock as the look: whoever comes next sees that there is room for a writer.
            state.writers -= 1;
            self.working = false;
            return None;
        }
        Some(state.waiting.drain(..most).collect())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.working {
            // It panicked, or the service stops. Who waits for it and for nobody else is told.
            let mut state = self.shared.lock();
            state.writers -= 1;
            if state.writers == 0 {
                state.waiting.clear();
            }
        }
    }
}
