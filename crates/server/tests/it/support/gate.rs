//! A place where a test holds up what passes, until it has seen what it waits for.
//!
//! The faulty store has one wherever an order of events matters. Invariant: an open one holds up nobody.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// Lets everybody pass, or nobody.
#[derive(Debug)]
pub(crate) struct Gate {
    closed: watch::Sender<bool>,
    waiting: AtomicUsize,
}

impl Default for Gate {
    fn default() -> Self {
        Self { closed: watch::channel(false).0, waiting: AtomicUsize::new(0) }
    }
}

impl Gate {
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(crate) fn open(&self) {
        self.closed.send_replace(false);
    }

    /// How many stand before it.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub(super) async fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _ = self.closed.subscribe().wait_for(|closed| !closed).await;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
