//! How a [`HostRouter`] is set up.
//!
//! Every limit has a default and none can be left away, so that no router keeps an answer for ever or grows with what
//! strangers ask for. Invariant: nothing is looked up before the router is asked.

use std::fmt;
use std::time::Duration;

use super::{HostRouter, Lookup};

/// Sets up a [`HostRouter`]; made by [`HostRouter::builder`].
///
/// | | default |
/// |---|---|
/// | [`capacity`](Self::capacity) | 10,000 hosts |
/// | [`time_to_live`](Self::time_to_live) | 60 s |
/// | [`unknown_capacity`](Self::unknown_capacity) | 10,000 hosts |
/// | [`unknown_time_to_live`](Self::unknown_time_to_live) | 5 s |
/// | [`stale_while_refreshing`](Self::stale_while_refreshing) | off |
/// | [`stale_on_error`](Self::stale_on_error) | off |
/// | [`error_time_to_live`](Self::error_time_to_live) | off |
/// | [`lookup_timeout`](Self::lookup_timeout) | 5 s |
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use tenancy::{HostRouter, TenantId};
///
/// let router: HostRouter<TenantId> =
///     HostRouter::builder(|_host: Arc<str>| async { Ok::<_, std::io::Error>(None) })
///         .time_to_live(Duration::from_secs(30))
///         .stale_on_error(Duration::from_secs(3600))
///         .build();
/// # let _ = router;
/// ```
#[must_use]
pub struct HostRouterBuilder<T> {
    pub(super) lookup: Box<Lookup<T>>,
    pub(super) limits: Limits,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) capacity: usize,
    pub(super) time_to_live: Duration,
    pub(super) unknown_capacity: usize,
    pub(super) unknown_time_to_live: Duration,
    pub(super) stale_while_refreshing: Duration,
    pub(super) stale_on_error: Duration,
    pub(super) error_time_to_live: Duration,
    pub(super) lookup_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            time_to_live: Duration::from_secs(60),
            unknown_capacity: 10_000,
            unknown_time_to_live: Duration::from_secs(5),
            stale_while_refreshing: Duration::ZERO,
            stale_on_error: Duration::ZERO,
            error_time_to_live: Duration::ZERO,
            lookup_timeout: Duration::from_secs(5),
        }
    }
}

impl<T: Clone + Send + Sync + 'static> HostRouterBuilder<T> {
    /// How many known hosts are kept; beyond that those go that were asked for least. The number is approximate.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # let builder = tenancy::HostRouter::builder(|_: Arc<str>| async { Ok::<_, String>(Some(1)) });
    /// let router = builder.capacity(100_000).build();
    /// # let _ = router;
    /// ```
    pub fn capacity(mut self, hosts: usize) -> Self {
        self.limits.capacity = hosts;
        self
    }

    /// How long a known host is answered from the cache: what a change takes to be seen where nobody calls
    /// [`invalidate`](HostRouter::invalidate). With zero every request looks its host up.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # let builder = tenancy::HostRouter::builder(|_: Arc<str>| async { Ok::<_, String>(Some(1)) });
    /// let router = builder.time_to_live(Duration::from_secs(10)).build();
    /// # let _ = router;
    /// ```
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.limits.time_to_live = time;
        self
    }

    /// How many unknown hosts are kept, beside the known ones: strangers who ask for hosts that nobody has displace each
    /// other and no tenant.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # let builder = tenancy::HostRouter::builder(|_: Arc<str>| async { Ok::<_, String>(Some(1)) });
    /// let router = builder.unknown_capacity(1_000).build();
    /// # let _ = router;
    /// ```
    pub fn unknown_capacity(mut self, hosts: usize) -> Self {
        self.limits.unknown_capacity = hosts;
        self
    }

    /// How long an unknown host stays unknown: what a new tenant may have to wait. Zero keeps none.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # let builder = tenancy::HostRouter::builder(|_: Arc<str>| async { Ok::<_, String>(Some(1)) });
    /// let router = builder.unknown_time_to_live(Duration::from_secs(1)).build();
    /// # let _ = router;
    /// ```
    pub fn unknown_time_to_live(mut self, time: Duration) -> Self {
        self.limits.unknown_time_to_live = time;
        self
    }

    /// For how long after its time a known host is still answered from the cache at once, while it is looked up again
    /// behind. Unknown hosts never are.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # let builder = tenancy::HostRouter::builder(|_: Arc<str>| async { Ok::<_, String>(Some(1)) });
    /// let router = builder.stale_while_refreshing(Duration::from_secs(300)).build();
    /// # let _ = router;
    /// ```
    pub fn stale_while_refreshing(mut self, time: Duration) -> Self {
        self.limits.stale_while_refreshing = time;
        self
    }

    /// For how long after its time a known host is still answered from the cache when it cannot be looked up. Whoever asks
    /// waits for the look-up to fail first; [`error_time_to_live`](Self::error_time_to_live) spares most of them that.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # let builder = tenancy::HostRouter::builder(|_: Arc<str>| async { Ok::<_, String>(Some(1)) });
    /// let router = builder.stale_on_error(Duration::from_secs(3600)).error_time_to_live(Duration::from_secs(1)).build();
    /// # let _ = router;
    /// ```
    pub fn stale_on_error(mut self, time: Duration) -> Self {
        self.limits.stale_on_error = time;
        self
    }

    /// For how long after a failed look-up the host is not looked up again: the error is repeated, or covered by
    /// [`stale_on_error`](Self::stale_on_error). As many hosts are kept so as unknown ones. Keep it short, or off.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # let builder = tenancy::HostRouter::builder(|_: Arc<str>| async { Ok::<_, String>(Some(1)) });
    /// let router = builder.error_time_to_live(Duration::from_millis(500)).build();
    /// # let _ = router;
    /// ```
    pub fn error_time_to_live(mut self, time: Duration) -> Self {
        self.limits.error_time_to_live = time;
        self
    }

    /// How long a look-up may take before it is dropped and has failed.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # let builder = tenancy::HostRouter::builder(|_: Arc<str>| async { Ok::<_, String>(Some(1)) });
    /// let router = builder.lookup_timeout(Duration::from_secs(2)).build();
    /// # let _ = router;
    /// ```
    pub fn lookup_timeout(mut self, time: Duration) -> Self {
        self.limits.lookup_timeout = time;
        self
    }

    /// The router.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # let builder = tenancy::HostRouter::builder(|_: Arc<str>| async { Ok::<_, String>(Some(1)) });
    /// let router = builder.build();
    /// assert_eq!(router.stats().known, 0);
    /// ```
    #[must_use]
    pub fn build(self) -> HostRouter<T> {
        HostRouter::from_builder(self)
    }
}

impl<T> fmt::Debug for HostRouterBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostRouterBuilder").field("limits", &self.limits).finish_non_exhaustive()
    }
}
