//! Whose host is it, where a database knows.
//!
//! For servers whose tenants are more than they want to register, or change behind their back: the request path asks the
//! router, and the router asks the database as rarely as its limits allow. What it gives is the embedder's choice: an id, or
//! an `Arc` of what serves.
//!
//! Invariant: an answer is kept only if its host was not invalidated since the look-up began.

mod builder;
mod error;

use std::fmt::{self, Display};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use quick_cache::sync::Cache;
use tokio::time::Instant;

pub use builder::HostRouterBuilder;
pub use error::LookupError;

use self::builder::Limits;
use crate::flight::{Flights, Joined, guarded};
use crate::host::normalize_host_cow;
use crate::reason::Reason;

type Lookup<T> = dyn Fn(Arc<str>) -> BoxFuture<'static, Result<Option<T>, Reason>> + Send + Sync;
type Answer<T> = Result<Option<T>, LookupError>;

/// Resolves hosts through a look-up, and keeps what it answered for a while.
///
/// Known and unknown hosts are kept apart, each up to a number and for a time ([`HostRouterBuilder`] lists the defaults). A
/// host is looked up once at a time, however many ask for it. The look-up runs in a task of its own within a time limit:
/// callers who leave stop nothing, and a panic is an error like any other. Errors are not kept, unless by
/// [option](HostRouterBuilder::error_time_to_live).
///
/// Cloning gives another handle on the same router. Time is Tokio's, so that tests can pause it. What has outlived its time
/// is not given out, but may be kept until others displace it; where `T` is an `Arc` of something large, mind the capacity.
///
/// ```
/// use std::sync::Arc;
/// use tenancy::{HostRouter, TenantId};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tenancy::LookupError> {
/// let router = HostRouter::new(|host: Arc<str>| async move {
///     // SELECT tenant_id FROM hosts WHERE host = $1
///     Ok::<_, std::io::Error>((&*host == "acme.example.com").then(|| TenantId::from("acme")))
/// });
///
/// assert_eq!(router.resolve("ACME.example.com:8443").await?, Some("acme".into()));
/// assert_eq!(router.cached("acme.example.com"), Some("acme".into()));
/// assert_eq!(router.resolve("nobody.example.com").await?, None);
/// # Ok(())
/// # }
/// ```
pub struct HostRouter<T> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    lookup: Box<Lookup<T>>,
    limits: Limits,
    known: Cache<Arc<str>, Kept<T>>,
    unknown: Cache<Arc<str>, Kept<()>>,
    failed: Cache<Arc<str>, Kept<LookupError>>,
    flights: Arc<Flights<Arc<str>, Answer<T>>>,
}

#[derive(Clone)]
struct Kept<T> {
    value: T,
    since: Instant,
}

impl<T> Kept<T> {
    fn new(value: T) -> Self {
        Self { value, since: Instant::now() }
    }

    /// Ages are compared instead of points in time, which no time limit can make overflow.
    fn is_within(&self, limit: Duration) -> bool {
        self.since.elapsed() < limit
    }
}

impl<T: Clone + Send + Sync + 'static> HostRouter<T> {
    /// A router with the defaults. See [`Self::builder`].
    ///
    /// ```
    /// # use std::sync::Arc;
    /// let router = tenancy::HostRouter::new(|_host: Arc<str>| async { Ok::<_, String>(Some("acme")) });
    /// # let _ = router;
    /// ```
    #[must_use]
    pub fn new<F, Fut, E>(lookup: F) -> Self
    where
        F: Fn(Arc<str>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
        E: Display,
    {
        Self::builder(lookup).build()
    }

    /// Begins to set up a router that asks `lookup`, which is given hosts in [normal form](crate::normalize_host). None is
    /// a host that nobody has.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use tenancy::HostRouter;
    /// let router = HostRouter::builder(|_host: Arc<str>| async { Ok::<_, String>(Some("acme")) })
    ///     .time_to_live(Duration::from_secs(10))
    ///     .build();
    /// # let _ = router;
    /// ```
    pub fn builder<F, Fut, E>(lookup: F) -> HostRouterBuilder<T>
    where
        F: Fn(Arc<str>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
        E: Display,
    {
        let lookup = Arc::new(lookup);
        let boxed = move |host| {
            let lookup = Arc::clone(&lookup);
            // The closure itself runs in there too, as it may panic.
            async move { lookup(host).await.map_err(|error| Reason::from(format!("{error:#}"))) }.boxed()
        };
        HostRouterBuilder { lookup: Box::new(boxed), limits: Limits::default() }
    }

    fn from_builder(builder: HostRouterBuilder<T>) -> Self {
        let HostRouterBuilder { lookup, limits } = builder;
        let inner = Inner {
            lookup,
            limits,
            known: Cache::new(limits.capacity),
            unknown: Cache::new(limits.unknown_capacity),
            failed: Cache::new(limits.unknown_capacity),
            flights: Arc::new(Flights::new()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whose host this is, from the cache or by looking it up. None is a host that nobody has, and what is no host at all,
    /// which is not looked up. Port and userinfo do not count.
    ///
    /// # Errors
    ///
    /// A [`LookupError`] where it could not be found out, and nothing that is kept may stand in.
    ///
    /// # Panics
    ///
    /// Where a look-up has to begin outside of a Tokio runtime.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tenancy::LookupError> {
    /// # let router = tenancy::HostRouter::new(|_host: Arc<str>| async { Ok::<_, String>(Some("acme")) });
    /// assert_eq!(router.resolve("acme.example.com").await?, Some("acme"));
    /// assert_eq!(router.resolve("no host").await?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn resolve(&self, host: &str) -> Result<Option<T>, LookupError> {
        let Ok(host) = normalize_host_cow(host) else {
            return Ok(None);
        };
        let limits = &self.inner.limits;
        if let Some(known) = self.inner.known.get(&*host) {
            if known.is_within(limits.time_to_live) {
                return Ok(Some(known.value));
            }
            if known.is_within(limits.time_to_live.saturating_add(limits.stale_while_refreshing)) {
                // What comes of it is for the next caller.
                drop(self.inner.join(&host));
                return Ok(Some(known.value));
            }
        }
        if let Some(answer) = self.inner.not_known(&host) {
            return self.or_stale(&host, answer);
        }
        let answer = self.inner.answer(&host).await;
        self.or_stale(&host, answer)
    }

    /// Whose host this is as far as the cache knows, without looking anything up: for resolvers, which cannot wait. None
    /// is an unknown host, and one that [`resolve`](Self::resolve) would have to look up.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # let router = tenancy::HostRouter::new(|_host: Arc<str>| async { Ok::<_, String>(Some("acme")) });
    /// assert_eq!(router.cached("acme.example.com"), None);
    /// ```
    #[must_use]
    pub fn cached(&self, host: &str) -> Option<T> {
        let host = normalize_host_cow(host).ok()?;
        let limits = &self.inner.limits;
        let limit = limits.time_to_live.saturating_add(limits.stale_while_refreshing);
        self.inner.known.get(&*host).filter(|known| known.is_within(limit)).map(|known| known.value)
    }

    /// Forgets a host, whatever is known of it. The next caller looks it up, and what a look-up that is under way brings
    /// reaches only those who wait for it already.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tenancy::LookupError> {
    /// # let router = tenancy::HostRouter::new(|_host: Arc<str>| async { Ok::<_, String>(Some("acme")) });
    /// router.resolve("acme.example.com").await?;
    /// router.invalidate("Acme.example.com");
    /// assert_eq!(router.cached("acme.example.com"), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn invalidate(&self, host: &str) {
        let Ok(host) = normalize_host_cow(host) else {
            return;
        };
        let Inner { known, unknown, failed, .. } = &*self.inner;
        // Under the lock under which answers are kept, so that none slips in between; what it held is dropped behind it.
        let _ =
            self.inner.flights.forget(&*host, || (known.remove(&*host), unknown.remove(&*host), failed.remove(&*host)));
    }

    /// Forgets every host, as [`Self::invalidate`] does one.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # let router = tenancy::HostRouter::new(|_host: Arc<str>| async { Ok::<_, String>(Some("acme")) });
    /// router.invalidate_all();
    /// assert_eq!(router.stats().known, 0);
    /// ```
    pub fn invalidate_all(&self) {
        let Inner { known, unknown, failed, .. } = &*self.inner;
        let _: Vec<_> = self.inner.flights.forget_all(|| {
            unknown.clear();
            failed.clear();
            known.drain().collect()
        });
    }

    /// How much is kept and under way, for a gauge.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # let router = tenancy::HostRouter::new(|_host: Arc<str>| async { Ok::<_, String>(Some("acme")) });
    /// assert_eq!(router.stats().lookups, 0);
    /// ```
    #[must_use]
    pub fn stats(&self) -> HostRouterStats {
        let Inner { known, unknown, flights, .. } = &*self.inner;
        HostRouterStats { known: known.len(), unknown: unknown.len(), lookups: flights.len() }
    }

    /// Asks the cache again, as the host may have been invalidated since it was asked first.
    fn or_stale(&self, host: &str, answer: Answer<T>) -> Answer<T> {
        let limits = &self.inner.limits;
        let limit = limits.time_to_live.saturating_add(limits.stale_on_error);
        answer.or_else(|error| match self.inner.known.get(host) {
            Some(known) if known.is_within(limit) => Ok(Some(known.value)),
            _ => Err(error),
        })
    }
}

impl<T: Clone + Send + Sync + 'static> Inner<T> {
    /// A miss or an error that is kept, and still counts.
    fn not_known(&self, host: &str) -> Option<Answer<T>> {
        if self.unknown.get(host).is_some_and(|unknown| unknown.is_within(self.limits.unknown_time_to_live)) {
            return Some(Ok(None));
        }
        let failed = self.failed.get(host).filter(|failed| failed.is_within(self.limits.error_time_to_live))?;
        Some(Err(failed.value))
    }

    async fn answer(self: &Arc<Self>, host: &str) -> Answer<T> {
        // Twice, as the first may have been begun by a runtime that has ended since.
        for _ in 0..2 {
            match self.join(host) {
                Joined::Landed(answer) => return answer,
                Joined::Aloft(lookup) => {
                    if let Some(answer) = lookup.outcome().await {
                        return answer;
                    }
                }
            }
        }
        Err(LookupError::Interrupted)
    }

    fn join(self: &Arc<Self>, host: &str) -> Joined<Answer<T>> {
        let host: Arc<str> = host.into();
        let kept = || match self.known.get(&*host) {
            Some(known) if known.is_within(self.limits.time_to_live) => Some(Ok(Some(known.value))),
            _ => self.not_known(&host),
        };
        let begin = || {
            let (this, host) = (Arc::clone(self), Arc::clone(&host));
            async move {
                let limit = this.limits.lookup_timeout;
                let work = async { (this.lookup)(host).await };
                guarded(limit, work).await.map_err(|fault| LookupError::new(fault, limit))
            }
        };
        let (this, key) = (Arc::clone(self), Arc::clone(&host));
        let land = move |answer: &Answer<T>, current: bool| {
            let displaced = current.then(|| this.keep(key, answer));
            move || drop(displaced)
        };
        self.flights.join(Arc::clone(&host), kept, begin, land)
    }

    /// Keeps an answer, and gives back what it displaced, which may be much to drop.
    fn keep(&self, host: Arc<str>, answer: &Answer<T>) -> [Option<(Arc<str>, Kept<T>)>; 2] {
        let mut displaced = [None, None];
        match answer {
            Ok(Some(value)) => {
                self.unknown.remove(&*host);
                self.failed.remove(&*host);
                self.known.insert_with_lifecycle(host, Kept::new(value.clone()), &mut displaced);
            }
            Ok(None) => {
                displaced[0] = self.known.remove(&*host);
                self.failed.remove(&*host);
                if !self.limits.unknown_time_to_live.is_zero() {
                    self.unknown.insert(host, Kept::new(()));
                }
            }
            // What was known stays, for those who may have it although it is stale.
            Err(error) => {
                if !self.limits.error_time_to_live.is_zero() {
                    self.failed.insert(host, Kept::new(error.clone()));
                }
            }
        }
        displaced
    }
}

/// How much a [`HostRouter`] keeps.
///
/// ```
/// # use std::sync::Arc;
/// # let router = tenancy::HostRouter::new(|_host: Arc<str>| async { Ok::<_, String>(Some("acme")) });
/// let stats = router.stats();
/// assert_eq!((stats.known, stats.unknown, stats.lookups), (0, 0, 0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostRouterStats {
    /// Hosts that somebody has, also those that have outlived their time.
    pub known: usize,
    /// Hosts that nobody has, likewise.
    pub unknown: usize,
    /// Look-ups under way.
    pub lookups: usize,
}

impl<T> Clone for HostRouter<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<T> fmt::Debug for HostRouter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostRouter").field("limits", &self.inner.limits).finish_non_exhaustive()
    }
}
