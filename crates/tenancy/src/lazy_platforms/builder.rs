//! How [`LazyPlatforms`] are set up.
//!
//! There is always a limit to how many platforms are kept and to how long one may take to build; how long they are kept is
//! the embedder's to say. Invariant: nothing is built before it is asked for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::shelf::Limits;
use super::{Eviction, Factory, Hook, LazyPlatforms};
use crate::id::TenantId;

/// Sets up [`LazyPlatforms`]; made by [`LazyPlatforms::builder`].
///
/// | | default |
/// |---|---|
/// | [`capacity`](Self::capacity) | 1,000 platforms |
/// | [`time_to_idle`](Self::time_to_idle) | off |
/// | [`time_to_live`](Self::time_to_live) | off |
/// | [`failure_time_to_live`](Self::failure_time_to_live) | off |
/// | [`build_timeout`](Self::build_timeout) | 60 s |
///
/// ```
/// use std::time::Duration;
/// use tenancy::{LazyPlatforms, TenantId};
///
/// let platforms = LazyPlatforms::builder(|id: TenantId| async move { Ok::<_, std::io::Error>(format!("app of {id}")) })
///     .capacity(100)
///     .time_to_idle(Duration::from_secs(1800))
///     .on_evict(|id, _platform, why| println!("{id} leaves: {why:?}"))
///     .build();
/// # let _ = platforms;
/// ```
#[must_use]
pub struct LazyPlatformsBuilder<P> {
    pub(super) factory: Box<Factory<P>>,
    pub(super) on_evict: Option<Box<Hook<P>>>,
    pub(super) limits: Limits,
}

impl<P: Send + Sync + 'static> LazyPlatformsBuilder<P> {
    pub(super) fn new(factory: Box<Factory<P>>) -> Self {
        let limits = Limits {
            capacity: 1_000,
            time_to_idle: None,
            time_to_live: None,
            failure_time_to_live: Duration::ZERO,
            build_timeout: Duration::from_secs(60),
        };
        Self { factory, on_evict: None, limits }
    }

    /// How many platforms are kept; beyond that the one goes that was asked for longest ago. Zero keeps none.
    ///
    /// ```
    /// # let builder = tenancy::LazyPlatforms::builder(|_| async { Ok::<_, String>(()) });
    /// let platforms = builder.capacity(100).build();
    /// # let _ = platforms;
    /// ```
    pub fn capacity(mut self, platforms: usize) -> Self {
        self.limits.capacity = platforms;
        self
    }

    /// How long a platform is kept that nobody asks for. Whoever still holds one when it goes keeps it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let builder = tenancy::LazyPlatforms::builder(|_| async { Ok::<_, String>(()) });
    /// let platforms = builder.time_to_idle(Duration::from_secs(1800)).build();
    /// # let _ = platforms;
    /// ```
    pub fn time_to_idle(mut self, time: Duration) -> Self {
        self.limits.time_to_idle = Some(time);
        self
    }

    /// How long a platform is kept at all, however much it is asked for; the next request builds another and waits for it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let builder = tenancy::LazyPlatforms::builder(|_| async { Ok::<_, String>(()) });
    /// let platforms = builder.time_to_live(Duration::from_secs(86_400)).build();
    /// # let _ = platforms;
    /// ```
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.limits.time_to_live = Some(time);
        self
    }

    /// For how long after a failure the tenant is not built again, and the failure repeated. Keep it short, or off: every
    /// request that comes after a failure tries again then, one at a time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let builder = tenancy::LazyPlatforms::builder(|_| async { Ok::<_, String>(()) });
    /// let platforms = builder.failure_time_to_live(Duration::from_secs(2)).build();
    /// # let _ = platforms;
    /// ```
    pub fn failure_time_to_live(mut self, time: Duration) -> Self {
        self.limits.failure_time_to_live = time;
        self
    }

    /// How long a build may take before it is dropped and has failed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let builder = tenancy::LazyPlatforms::builder(|_| async { Ok::<_, String>(()) });
    /// let platforms = builder.build_timeout(Duration::from_secs(10)).build();
    /// # let _ = platforms;
    /// ```
    pub fn build_timeout(mut self, time: Duration) -> Self {
        self.limits.build_timeout = time;
        self
    }

    /// Calls `hook` once with every platform that was built and is not kept any longer, or never was because its tenant was
    /// evicted meanwhile. Others may still hold it. The hook runs wherever that comes to light, so it should be quick; a
    /// panic in it is logged. Dropping the `LazyPlatforms` calls nothing.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use tenancy::{Eviction, TenantId};
    /// # let builder = tenancy::LazyPlatforms::builder(|_| async { Ok::<_, String>(()) });
    /// let platforms = builder.on_evict(|id: &TenantId, _: Arc<()>, why: Eviction| println!("{id}: {why:?}")).build();
    /// # let _ = platforms;
    /// ```
    pub fn on_evict(mut self, hook: impl Fn(&TenantId, Arc<P>, Eviction) + Send + Sync + 'static) -> Self {
        self.on_evict = Some(Box::new(hook));
        self
    }

    /// The platforms, none of which is built yet.
    ///
    /// ```
    /// # let builder = tenancy::LazyPlatforms::builder(|_| async { Ok::<_, String>(()) });
    /// assert!(builder.build().is_empty());
    /// ```
    #[must_use]
    pub fn build(self) -> LazyPlatforms<P> {
        LazyPlatforms::from_builder(self)
    }
}

impl<P> fmt::Debug for LazyPlatformsBuilder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyPlatformsBuilder").field("limits", &self.limits).finish_non_exhaustive()
    }
}
