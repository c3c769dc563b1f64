//! The read model: tenants, their routes, entitlements and keys in memory, kept true by the change feed.
//!
//! Reads of the request path come here. It is filled on demand and bounded ([`shelf`]), and follows the store's feed in a
//! task of its own ([`follow`]). Invariants: a fill that began before a change never outlives it; a process that could not
//! confirm the feed within its bound asks the store, and refuses when that is away too; what this process changes it
//! forgets before it answers.

mod follow;
mod shelf;

use std::fmt::Debug;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use domain::{Error, Result, Tenant, TenantId};
use quick_cache::Equivalent;
use shelf::Shelf;
use store::{ReadTx, Scope, Store, TenantRoute};
use tokio::time::Instant;

/// How many tenants are kept under each of their names, and of how many tenants and hosts what belongs to them; about a
/// kilobyte each.
const TENANTS: usize = 100_000;

/// After this long a look-up in the store is given up: whoever asked is told to ask again, instead of waiting for a
/// database that may be gone.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(2);

/// A tenant in memory, with room for the answer that is made of it: made once, given out as often as it is asked for.
#[derive(Debug)]
pub struct Known {
    tenant: Tenant,
    rendered: OnceLock<Bytes>,
}

impl Known {
    /// A tenant of which no answer has been made.
    #[must_use]
    pub fn new(tenant: Tenant) -> Self {
        Self { tenant, rendered: OnceLock::new() }
    }

    /// The answer, made now if it was not made before. `render` must always make the same of one tenant.
    ///
    /// # Errors
    /// Those of `render`.
    pub fn rendered<E>(&self, render: impl FnOnce(&Tenant) -> Result<Bytes, E>) -> Result<Bytes, E> {
        match self.rendered.get() {
            Some(known) => Ok(known.clone()),
            None => render(&self.tenant).map(|fresh| self.rendered.get_or_init(|| fresh).clone()),
        }
    }
}

impl Deref for Known {
    type Target = Tenant;
    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

/// The read model. See the module.
#[derive(Debug)]
pub struct Directory {
    store: Arc<dyn Store>,
    by_id: Shelf<TenantId, Known>,
    by_slug: Shelf<Box<str>, Known>,
    routes: Shelf<Box<str>, Vec<TenantRoute>>,
    /// When the feed was last confirmed, in microseconds after `started`, plus one; 0 is never.
    confirmed: AtomicU64,
    started: Instant,
    max_staleness: Duration,
}

impl Directory {
    /// An empty directory over a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, max_staleness: Duration) -> Self {
        Self {
            store,
            by_id: Shelf::new(TENANTS),
            by_slug: Shelf::new(TENANTS),
            routes: Shelf::new(TENANTS),
            confirmed: AtomicU64::new(0),
            started: Instant::now(),
            max_staleness,
        }
    }

    /// A tenant by id, as it was last written.
    ///
    /// # Errors
    /// Those of the store, when it had to be asked.
    pub async fn by_id(&self, id: TenantId) -> Result<Option<Arc<Known>>> {
        match self.remembered(&self.by_id, &id) {
            Some(known) => Ok(known),
            None => {
                let load = |mut tx: Box<dyn ReadTx>| async move { Ok(tx.get_tenant(id).await?.map(Known::new)) };
                self.look_up(&self.by_id, id, load).await
            }
        }
    }

    /// A tenant by slug, as it was last written.
    ///
    /// # Errors
    /// Those of the store, when it had to be asked.
    pub async fn by_slug(&self, slug: &str) -> Result<Option<Arc<Known>>> {
        // Names that nobody can have ask nothing and take no room.
        let possible = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if slug.len() > domain::slug::SLUG_MAX || !slug.bytes().all(possible) {
            return Ok(None);
        }
        if let Some(known) = self.remembered(&self.by_slug, slug) {
            return Ok(known);
        }
        let wanted = slug.to_owned();
        let load = |mut tx: Box<dyn ReadTx>| async move { Ok(tx.get_tenant_by_slug(&wanted).await?.map(Known::new)) };
        self.look_up(&self.by_slug, slug.into(), load).await
    }

    /// The routes of a host in normal form, wildcards spelled out; none where nobody has it.
    ///
    /// # Errors
    /// Those of the store, when it had to be asked.
    pub async fn routes(&self, host: &str) -> Result<Option<Arc<Vec<TenantRoute>>>> {
        if let Some(known) = self.remembered(&self.routes, host) {
            return Ok(known);
        }
        let wanted = host.to_owned();
        let load = |mut tx: Box<dyn ReadTx>| async move {
            Ok(Some(tx.routes_of_host(&wanted).await?).filter(|routes| !routes.is_empty()))
        };
        self.look_up(&self.routes, host.into(), load).await
    }

    /// Forgets a tenant, because it changed.
    pub fn forget(&self, id: TenantId, slug: &str) {
        self.by_id.forget(&id);
        self.by_slug.forget(&slug.into());
    }

    /// Forgets whose a host is, because a route of it came or went.
    pub fn forget_host(&self, host: &str) {
        self.routes.forget(&host.into());
    }

    /// Whether memory may answer: the feed was confirmed within the bound.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.age().is_some_and(|age| age <= self.max_staleness)
    }

    /// How long ago the feed was last confirmed; none before the first time. Beyond the bound reads go to the store.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        match self.confirmed.load(Ordering::Acquire) {
            0 => None,
            micros => Some((self.started + Duration::from_micros(micros - 1)).elapsed()),
        }
    }

    /// How many things are in memory, by what they are looked up by.
    #[must_use]
    pub fn sizes(&self) -> [(&'static str, usize); 3] {
        [("tenant_id", self.by_id.len()), ("tenant_slug", self.by_slug.len()), ("host", self.routes.len())]
    }

    fn forget_everything(&self) {
        self.by_id.clear();
        self.by_slug.clear();
        self.routes.clear();
    }

    /// What memory says, as long as it may say anything.
    fn remembered<K, V, Q>(&self, shelf: &Shelf<K, V>, key: &Q) -> Option<Option<Arc<V>>>
    where
        K: Hash + Eq + Clone + Debug,
        Q: Hash + Equivalent<K> + ?Sized,
    {
        if self.is_fresh() { shelf.get(key) } else { None }
    }

    /// Asks the store, and keeps the answer where memory may answer and the thing did not change meanwhile.
    async fn look_up<K, V, L, F>(&self, shelf: &Shelf<K, V>, key: K, load: L) -> Result<Option<Arc<V>>>
    where
        K: Hash + Eq + Clone + Debug + Send + Sync,
        V: Send + Sync,
        L: FnOnce(Box<dyn ReadTx>) -> F + Send,
        F: Future<Output = store::Result<Option<V>>> + Send,
    {
        // Before the store is asked, so that whatever changes from here on is noticed.
        let filling = self.is_fresh().then(|| shelf.begin(key));
        let asked = async {
            let tx = self.store.read(Scope::Platform).await?;
            load(tx).await
        };
        // A statement's own limit is the server's to keep; a server that is gone without a word keeps none.
        let found = match tokio::time::timeout(LOOK_UP_TIMEOUT, asked).await {
            Ok(found) => found?.map(Arc::new),
            Err(_) => return Err(Error::Unavailable { internal: format!("no answer within {LOOK_UP_TIMEOUT:?}") }),
        };
        if let Some(filling) = filling {
            filling.keep(found.clone());
        }
        Ok(found)
    }
}
