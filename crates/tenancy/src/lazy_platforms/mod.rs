//! A platform per tenant, built when it is first needed and kept while it is.
//!
//! For servers with more tenants than platforms that fit: the request path, once it knows the tenant, asks for its platform
//! here. The registry's own lazy tenants are something else: they are registered, validated, and built to stay.
//!
//! Invariant: a tenant has at most one platform that is kept, and one that is being built.

mod builder;
mod error;
mod shelf;

use std::fmt::{self, Display};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub use builder::LazyPlatformsBuilder;
pub use error::BuildError;

use self::shelf::{Left, Limits, Shelf};
use crate::flight::{Flights, Joined, guarded, words_of};
use crate::id::TenantId;
use crate::reason::Reason;

type Factory<P> = dyn Fn(TenantId) -> BoxFuture<'static, Result<P, Reason>> + Send + Sync;
type Hook<P> = dyn Fn(&TenantId, Arc<P>, Eviction) + Send + Sync;
type Outcome<P> = Result<Arc<P>, BuildError>;

/// Builds a platform per tenant on first use, and keeps those that are used.
///
/// A platform is built once, however many first requests come at once, in a task of its own and within a time limit:
/// callers who leave stop nothing, and a panic of the factory is a failure like any other. Failures reach everybody who
/// waits and are not kept, unless by [option](LazyPlatformsBuilder::failure_time_to_live). Beyond a number of platforms,
/// and by option after a time, those leave that were asked for longest ago; who holds one keeps it.
///
/// Cloning gives another handle on the same platforms. Time is Tokio's, so that tests can pause it.
///
/// ```
/// use tenancy::{LazyPlatforms, TenantId};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tenancy::BuildError> {
/// let platforms = LazyPlatforms::new(|id: TenantId| async move {
///     // Read the tenant's settings, connect to its database.
///     Ok::<_, std::io::Error>(format!("app of {id}"))
/// });
///
/// let app = platforms.get_or_build("acme").await?;
/// assert_eq!(*app, "app of acme");
/// assert!(platforms.get("acme").is_some() && platforms.get("globex").is_none());
/// # Ok(())
/// # }
/// ```
pub struct LazyPlatforms<P> {
    inner: Arc<Inner<P>>,
}

struct Inner<P> {
    factory: Box<Factory<P>>,
    on_evict: Option<Box<Hook<P>>>,
    limits: Limits,
    flights: Arc<Flights<TenantId, Outcome<P>>>,
    /// Where both are locked, this is locked after the table of flights.
    shelf: Mutex<Shelf<P>>,
}

/// Why a platform is not kept any longer.
///
/// ```
/// assert_ne!(tenancy::Eviction::Idle, tenancy::Eviction::Asked);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Eviction {
    /// There were too many, and this one was asked for longest ago.
    Capacity,
    /// Nobody asked for it for too long.
    Idle,
    /// It was kept for too long.
    Age,
    /// Somebody called [`LazyPlatforms::evict`] or [`LazyPlatforms::evict_all`].
    Asked,
}

impl<P: Send + Sync + 'static> LazyPlatforms<P> {
    /// Platforms with the defaults. See [`Self::builder`].
    ///
    /// ```
    /// let platforms = tenancy::LazyPlatforms::new(|id| async move { Ok::<_, String>(format!("app of {id}")) });
    /// # let _ = platforms;
    /// ```
    #[must_use]
    pub fn new<F, Fut, E>(factory: F) -> Self
    where
        F: Fn(TenantId) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<P, E>> + Send + 'static,
        E: Display,
    {
        Self::builder(factory).build()
    }

    /// Begins to set up platforms that `factory` builds.
    ///
    /// ```
    /// # use tenancy::LazyPlatforms;
    /// let platforms = LazyPlatforms::builder(|id| async move { Ok::<_, String>(format!("app of {id}")) }).capacity(100).build();
    /// # let _ = platforms;
    /// ```
    pub fn builder<F, Fut, E>(factory: F) -> LazyPlatformsBuilder<P>
    where
        F: Fn(TenantId) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<P, E>> + Send + 'static,
        E: Display,
    {
        let factory = Arc::new(factory);
        LazyPlatformsBuilder::new(Box::new(move |id| {
            let factory = Arc::clone(&factory);
            // The closure itself runs in there too, as it may panic.
            async move { factory(id).await.map_err(|error| Reason::from(format!("{error:#}"))) }.boxed()
        }))
    }

    fn from_builder(builder: LazyPlatformsBuilder<P>) -> Self {
        let LazyPlatformsBuilder { factory, on_evict, limits } = builder;
        let flights = Arc::new(Flights::new());
        let shelf = Mutex::new(Shelf::new(limits));
        Self { inner: Arc::new(Inner { factory, on_evict, limits, flights, shelf }) }
    }

    /// The tenant's platform, if it is built and kept. Asking counts as use.
    ///
    /// ```
    /// let platforms = tenancy::LazyPlatforms::new(|id| async move { Ok::<_, String>(format!("app of {id}")) });
    /// assert!(platforms.get("acme").is_none());
    /// ```
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<P>> {
        self.inner.shelf().get(id, Instant::now())
    }

    /// The tenant's platform, built if it has to be.
    ///
    /// # Errors
    ///
    /// A [`BuildError`] where it could not be built, the same for everybody who waited.
    ///
    /// # Panics
    ///
    /// Where a build has to begin outside of a Tokio runtime.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let platforms = tenancy::LazyPlatforms::<()>::new(|id| async move { Err(format!("{id} has no database")) });
    /// let error = platforms.get_or_build("acme").await.unwrap_err();
    /// assert_eq!(error.to_string(), "the platform could not be built: acme has no database");
    /// # }
    /// ```
    pub async fn get_or_build(&self, id: impl Into<TenantId>) -> Result<Arc<P>, BuildError> {
        let id = id.into();
        if let Some(platform) = self.get(&id) {
            return Ok(platform);
        }
        // Twice, as the first may have been begun by a runtime that has ended since.
        for _ in 0..2 {
            match self.inner.join(&id) {
                Joined::Landed(outcome) => return outcome,
                Joined::Aloft(build) => {
                    if let Some(outcome) = build.outcome().await {
                        return outcome;
                    }
                }
            }
        }
        Err(BuildError::Interrupted)
    }

    /// Gives a tenant's platform up, and forgets its failures; the next caller builds another. A build that is under way
    /// reaches only those who wait for it already. Says whether there was a platform or a build.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tenancy::BuildError> {
    /// let platforms = tenancy::LazyPlatforms::new(|id| async move { Ok::<_, String>(format!("app of {id}")) });
    /// let app = platforms.get_or_build("acme").await?;
    /// assert!(platforms.evict("acme"));
    /// assert!(platforms.get("acme").is_none());
    /// assert_eq!(*app, "app of acme", "who holds it keeps it");
    /// # Ok(())
    /// # }
    /// ```
    pub fn evict(&self, id: &str) -> bool {
        let inner = &self.inner;
        let (was_aloft, left) = inner.flights.forget(id, || inner.shelf().remove(id, Eviction::Asked));
        let was_kept = left.is_some();
        inner.tell(left);
        was_aloft || was_kept
    }

    /// Gives every platform up, as [`Self::evict`] does one.
    ///
    /// ```
    /// # let platforms = tenancy::LazyPlatforms::new(|id| async move { Ok::<_, String>(format!("app of {id}")) });
    /// platforms.evict_all();
    /// assert!(platforms.is_empty());
    /// ```
    pub fn evict_all(&self) {
        let inner = &self.inner;
        let left = inner.flights.forget_all(|| inner.shelf().remove_all());
        inner.tell(left);
    }

    /// How many platforms are kept.
    ///
    /// ```
    /// # let platforms = tenancy::LazyPlatforms::new(|id| async move { Ok::<_, String>(format!("app of {id}")) });
    /// assert_eq!(platforms.len(), 0);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.shelf().len()
    }

    /// Whether no platform is kept.
    ///
    /// ```
    /// # let platforms = tenancy::LazyPlatforms::new(|id| async move { Ok::<_, String>(format!("app of {id}")) });
    /// assert!(platforms.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<P: Send + Sync + 'static> Inner<P> {
    fn join(self: &Arc<Self>, id: &TenantId) -> Joined<Outcome<P>> {
        let kept = || {
            let (mut shelf, now) = (self.shelf(), Instant::now());
            shelf.get(id, now).map(Ok).or_else(|| shelf.failure(id, now).map(Err))
        };
        let begin = || {
            let (this, id) = (Arc::clone(self), id.clone());
            async move {
                let limit = this.limits.build_timeout;
                let work = async { (this.factory)(id).await };
                guarded(limit, work).await.map(Arc::new).map_err(|fault| BuildError::new(fault, limit))
            }
        };
        let (this, key) = (Arc::clone(self), id.clone());
        let land = move |outcome: &Outcome<P>, current: bool| {
            let left = this.keep(key, outcome, current);
            move || this.tell(left)
        };
        self.flights.join(id.clone(), kept, begin, land)
    }

    /// Keeps an outcome if it is current, and gives back the platforms that leave for it.
    fn keep(self: &Arc<Self>, id: TenantId, outcome: &Outcome<P>, current: bool) -> Vec<Left<P>> {
        let mut shelf = self.shelf();
        match outcome {
            Ok(platform) if current => {
                let left = shelf.put(id, Arc::clone(platform), Instant::now());
                self.keep_sweeping(&mut shelf);
                left
            }
            Ok(platform) => vec![Left { id, platform: Arc::clone(platform), why: Eviction::Asked }],
            Err(error) if current => {
                shelf.put_failure(id, error.clone(), Instant::now());
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Sees to it that what nobody asks for any more leaves although nobody calls.
    fn keep_sweeping(self: &Arc<Self>, shelf: &mut Shelf<P>) {
        let is_swept = shelf.sweeper.as_ref().is_some_and(|sweeper| !sweeper.is_finished());
        if !is_swept && shelf.next_outlived_at().is_some() {
            shelf.sweeper = Some(tokio::spawn(sweep(Arc::downgrade(self))).abort_handle());
        }
    }

    /// To be called without a lock: hooks and destructors are others' code.
    fn tell(&self, left: impl IntoIterator<Item = Left<P>>) {
        for Left { id, platform, why } in left {
            let Some(hook) = &self.on_evict else {
                continue;
            };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| hook(&id, platform, why))) {
                tracing::error!(tenant = %id, reason = %words_of(&*panic), "the hook of an eviction panicked");
            }
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<P>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs while platforms are kept that will outlive their time.
async fn sweep<P: Send + Sync + 'static>(inner: Weak<Inner<P>>) {
    while let Some(inner) = inner.upgrade() {
        let (left, next) = {
            let mut shelf = inner.shelf();
            let left = shelf.remove_outlived(Instant::now());
            let next = shelf.next_outlived_at();
            if next.is_none() {
                // Under the lock, so that the next platform finds that nobody sweeps.
                shelf.sweeper = None;
            }
            (left, next)
        };
        inner.tell(left);
        drop(inner);
        match next {
            Some(next) => tokio::time::sleep_until(next).await,
            None => return,
        }
    }
}

impl<P> Drop for Inner<P> {
    fn drop(&mut self) {
        let shelf = self.shelf.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(sweeper) = shelf.sweeper.as_ref() {
            AbortHandle::abort(sweeper);
        }
    }
}

impl<P> Clone for LazyPlatforms<P> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<P> fmt::Debug for LazyPlatforms<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyPlatforms").field("limits", &self.inner.limits).finish_non_exhaustive()
    }
}
