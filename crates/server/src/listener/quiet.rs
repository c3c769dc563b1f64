//! Connections on which nothing happens, and how they are told from those that work.
//!
//! hyper can limit the time for a request's head, but sets a timer and takes it back for every request: a lock twice, on
//! a path that is otherwise free of any. Here a connection counts what happens on it, and one timer looks at the count now
//! and then. Invariant: a connection ends only when no request is under way on it, none came and nothing could be written
//! for [`QUIET_MAX`] at least; what trickles in without becoming a request does not count.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// For how long nothing may happen on a connection: also the time for the head of a request.
pub(super) const QUIET_MAX: Duration = Duration::from_secs(15);
/// How many looks that is: a connection ends at most a look later.
const LOOKS: u32 = 5;

/// What happens on one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests that began and ended, and writes.
    events: AtomicU64,
    under_way: AtomicU32,
    /// HTTP/2 looks after silence itself, with pings.
    multiplexed: AtomicBool,
}

impl Activity {
    /// A request is under way until the value is dropped.
    pub(super) fn begin(self: &Arc<Self>, version: http::Version) -> UnderWay {
        if version == http::Version::HTTP_2 {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        self.happened();
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Ends when nothing happened for too long.
    pub(super) async fn silence(&self) {
        let mut watch = Watch::default();
        while !watch.look(self) {
            tokio::time::sleep(QUIET_MAX / LOOKS).await;
        }
    }

    fn happened(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }
}

/// Who looks at a connection now and then.
#[derive(Debug, Default)]
struct Watch {
    seen: Option<u64>,
    quiet: u32,
}

impl Watch {
    /// Whether nothing happened for too long.
    fn look(&mut self, activity: &Activity) -> bool {
        let now = activity.events.load(Ordering::Relaxed);
        let works = activity.under_way.load(Ordering::Relaxed) > 0 || activity.multiplexed.load(Ordering::Relaxed);
        let is_quiet = self.seen.replace(now) == Some(now) && !works;
        self.quiet = if is_quiet { self.quiet + 1 } else { 0 };
        self.quiet >= LOOKS
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.happened();
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream whose writes count.
#[derive(Debug)]
pub(super) struct Counted<S> {
    pub(super) stream: S,
    pub(super) activity: Arc<Activity>,
}

impl<S: Unpin> Counted<S> {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut S> {
        Pin::new(&mut self.get_mut().stream)
    }

    fn noted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.activity.happened();
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.as_mut().stream().poll_write(cx, bytes);
        self.noted(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.as_mut().stream().poll_write_vectored(cx, parts);
        self.noted(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// How many looks it takes until a connection ends, of at most so many.
    fn looks(watch: &mut Watch, activity: &Activity, most: u32) -> Option<u32> {
        (1..=most).find(|_| watch.look(activity))
    }

    #[test]
    fn a_connection_that_never_asks_ends() {
        // The first look is at the beginning, and each further one a fifth of the limit later.
        assert_eq!(looks(&mut Watch::default(), &Activity::default(), 100), Some(LOOKS + 1));
    }

    #[test]
    fn a_request_puts_the_end_off_and_holds_it_up_while_it_is_under_way() {
        let (mut watch, activity) = (Watch::default(), Arc::<Activity>::default());
        assert_eq!(looks(&mut watch, &activity, LOOKS), None);
        let request = activity.begin(http::Version::HTTP_11);
        assert_eq!(looks(&mut watch, &activity, 1_000), None);
        drop(request);
        assert_eq!(looks(&mut watch, &activity, 100), Some(LOOKS + 1));
        let (mut watch, activity) = (Watch::default(), Arc::<Activity>::default());
        for _ in 0..100 {
            assert_eq!(looks(&mut watch, &activity, LOOKS), None);
            drop(activity.begin(http::Version::HTTP_11));
        }
    }

    #[tokio::test]
    async fn what_is_written_puts_the_end_off_and_what_is_read_does_not() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut watch, activity) = (Watch::default(), Arc::<Activity>::default());
        let mut counted = Counted { stream: near, activity: Arc::clone(&activity) };
        let mut byte = [0];
        for _ in 0..100 {
            counted.write_all(b"x").await.unwrap();
            far.read_exact(&mut byte).await.unwrap();
            assert!(!watch.look(&activity));
        }
        let mut ended = 0;
        while !watch.look(&activity) {
            far.write_all(b"x").await.unwrap();
            counted.read_exact(&mut byte).await.unwrap();
            ended += 1;
        }
        assert_eq!(ended, LOOKS - 1);
    }

    #[test]
    fn http_2_looks_after_itself() {
        let (mut watch, activity) = (Watch::default(), Arc::<Activity>::default());
        drop(activity.begin(http::Version::HTTP_2));
        assert_eq!(looks(&mut watch, &activity, 1_000), None);
    }
}
