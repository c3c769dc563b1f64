//! The stream of health events.
//!
//! `registry/slot.rs` sends while it holds the tenant's lock, so that the events of one tenant come in the order of what
//! happened; each subscriber reads at its own pace. Invariant: an event is either seen by a subscriber or counted in the
//! `missed` of the next one it sees.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError::Lagged;

use super::status::HealthEvent;

/// How many events wait for a subscriber that does not read, before the oldest is dropped.
pub(crate) const BUFFER: usize = 1_024;

/// What [`TenantRegistry::subscribe`](crate::TenantRegistry::subscribe) gives: a `Stream` of [`HealthEvent`]s.
///
/// It ends when the registry is dropped. A subscriber that falls behind by more than 1,024 events loses the oldest ones,
/// and the next event it reads says how many.
///
/// ```
/// let registry: tenancy::TenantRegistry<()> = tenancy::TenantRegistry::builder().build();
/// let events: tenancy::HealthEvents = registry.subscribe();
/// # drop(events);
/// ```
pub struct HealthEvents {
    events: BroadcastStream<HealthEvent>,
    missed: u64,
}

impl HealthEvents {
    pub(crate) fn new(receiver: broadcast::Receiver<HealthEvent>) -> Self {
        Self { events: BroadcastStream::new(receiver), missed: 0 }
    }
}

impl Stream for HealthEvents {
    type Item = HealthEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<HealthEvent>> {
        loop {
            match ready!(Pin::new(&mut self.events).poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(Err(Lagged(count))) => self.missed += count,
                Some(Ok(mut event)) => {
                    event.missed = std::mem::take(&mut self.missed);
                    return Poll::Ready(Some(event));
                }
            }
        }
    }
}

impl fmt::Debug for HealthEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthEvents").field("missed", &self.missed).finish_non_exhaustive()
    }
}
