//! The read model: tenants, their routes, entitlements and keys in memory, kept true by the change feed.
//!
//! Reads of the request path come here. It is filled on demand and bounded ([`shelf`]), and follows the store's feed in a
//! task of its own ([`follow`]). Invariants: a fill that began before a change never outlives it; a process that could not
//! confirm the feed within its bound asks the store, and refuses when that is away too; what this process changes it
//! forgets before it answers.

mod follow;
mod known;
mod shelf;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::tenant::{METADATA_KEY_MAX, METADATA_VALUE_MAX};
use domain::{Entitlement, Error, KeyHash, Result, TenantId};
use quick_cache::Equivalent;
use shelf::Shelf;
use store::{ReadTx, Scope, Store, TenantRoute};
use tokio::time::Instant;

pub use known::Known;

use super::known_key::KnownKey;

/// How many tenants are kept under each of their names, and of how many tenants and hosts what belongs to them; about a
/// kilobyte each.
const TENANTS: usize = 100_000;
/// How many keys are kept; about 300 bytes each.
const KEYS: usize = 1 << 20;

/// A key of metadata, and its value.
type Member = (Box<str>, Box<str>);

/// The shortest and the longest time after which a look-up in the store is given up; between them it is the bound on
/// memory's age. Whoever asked is told to ask again, instead of waiting for a database that may be gone.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// The read model. See the module.
#[derive(Debug)]
pub struct Directory {
    store: Arc<dyn Store>,
    by_id: Shelf<TenantId, Known>,
    by_slug: Shelf<Box<str>, Known>,
    routes: Shelf<Box<str>, Vec<TenantRoute>>,
    by_metadata: Shelf<Member, Vec<TenantId>>,
    entitlements: Shelf<TenantId, Vec<Entitlement>>,
    keys: Shelf<KeyHash, KnownKey>,
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
            by_metadata: Shelf::new(TENANTS),
            entitlements: Shelf::new(TENANTS),
            keys: Shelf::new(KEYS),
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
                Box::pin(self.look_up(&self.by_id, id, load)).await
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
        Box::pin(self.look_up(&self.by_slug, slug.into(), load)).await
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
        Box::pin(self.look_up(&self.routes, host.into(), load)).await
    }

    /// The tenants whose metadata has this member; the first two, where there are more.
    ///
    /// # Errors
    /// Those of the store, when it had to be asked.
    pub async fn by_metadata(&self, key: &str, value: &str) -> Result<Arc<Vec<TenantId>>> {
        // What no tenant can have asks nothing and takes no room.
        if key.chars().count() > METADATA_KEY_MAX || value.chars().count() > METADATA_VALUE_MAX || value.contains('\0')
        {
            return Ok(Arc::default());
        }
        let member: Member = (key.into(), value.into());
        if let Some(known) = self.remembered(&self.by_metadata, &member) {
            let known = known.unwrap_or_default();
            if self.having(&known, key, value).await?.len() == known.len() {
                return Ok(known);
            }
            self.by_metadata.forget(&member);
        }
        let wanted = member.clone();
        let load = |mut tx: Box<dyn ReadTx>| async move {
            Ok(Some(tx.tenants_with_metadata(&wanted.0, &wanted.1, 2).await?).filter(|tenants| !tenants.is_empty()))
        };
        let found = Box::pin(self.look_up(&self.by_metadata, member, load)).await?.unwrap_or_default();
        let having = self.having(&found, key, value).await?;
        Ok(if having.len() == found.len() { found } else { Arc::new(having) })
    }

    /// Those of these tenants whose metadata has the member: one that lost it is told of by what it has now, and an older
    /// release beside this one writes members that no look-up finds, and leaves some that are gone.
    async fn having(&self, tenants: &[TenantId], key: &str, value: &str) -> Result<Vec<TenantId>> {
        let mut having = Vec::with_capacity(tenants.len());
        for id in tenants {
            let tenant = self.by_id(*id).await?;
            if tenant.is_some_and(|tenant| tenant.metadata.get(key).is_some_and(|held| held == value)) {
                having.push(*id);
            }
        }
        Ok(having)
    }

    /// What a tenant has or had, in the order of the products' keys.
    ///
    /// # Errors
    /// Those of the store, when it had to be asked.
    pub async fn entitlements(&self, tenant: TenantId) -> Result<Arc<Vec<Entitlement>>> {
        if let Some(known) = self.remembered(&self.entitlements, &tenant) {
            return Ok(known.unwrap_or_default());
        }
        let load = |mut tx: Box<dyn ReadTx>| async move {
            Ok(Some(tx.entitlements_of(tenant).await?).filter(|entitlements| !entitlements.is_empty()))
        };
        Ok(Box::pin(self.look_up(&self.entitlements, tenant, load)).await?.unwrap_or_default())
    }

    /// A key by its hash.
    ///
    /// # Errors
    /// Those of the store, when it had to be asked.
    pub async fn api_key(&self, hash: &KeyHash) -> Result<Option<Arc<KnownKey>>> {
        if let Some(known) = self.remembered(&self.keys, hash) {
            return Ok(known);
        }
        let hash = *hash;
        let load = |mut tx: Box<dyn ReadTx>| async move { Ok(tx.get_api_key_by_hash(&hash).await?.map(KnownKey::new)) };
        Box::pin(self.look_up(&self.keys, hash, load)).await
    }

    /// Forgets a tenant, because it changed.
    pub fn forget(&self, id: TenantId, slug: &str) {
        self.by_id.forget(&id);
        self.by_slug.forget(&slug.into());
    }

    /// Forgets who has these members in its metadata, because somebody has them now.
    pub fn forget_metadata(&self, metadata: &BTreeMap<String, String>) {
        for (key, value) in metadata {
            self.by_metadata.forget(&(key.as_str().into(), value.as_str().into()));
        }
    }

    /// Forgets whose a host is, because a route of it came or went.
    pub fn forget_host(&self, host: &str) {
        self.routes.forget(&host.into());
    }

    /// Forgets what a tenant has, because something of it changed.
    pub fn forget_entitlements(&self, tenant: TenantId) {
        self.entitlements.forget(&tenant);
    }

    /// Forgets a key, because it changed.
    pub fn forget_api_key(&self, hash: &KeyHash) {
        self.keys.forget(hash);
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
    pub fn sizes(&self) -> [(&'static str, usize); 6] {
        [
            ("tenant_id", self.by_id.len()),
            ("tenant_slug", self.by_slug.len()),
            ("host", self.routes.len()),
            ("metadata", self.by_metadata.len()),
            ("entitlements", self.entitlements.len()),
            ("api_key", self.keys.len()),
        ]
    }

    fn forget_everything(&self) {
        self.by_id.clear();
        self.by_slug.clear();
        self.routes.clear();
        self.by_metadata.clear();
        self.entitlements.clear();
        self.keys.clear();
    }

    /// What memory says, as long as it may say anything.
    fn remembered<K, V, Q>(&self, shelf: &Shelf<K, V>, key: &Q) -> Option<Option<Arc<V>>>
    where
        K: Hash + Eq + Clone + Debug,
        Q: Hash + Equivalent<K> + ?Sized,
    {
        if self.is_fresh() { shelf.get(key) } else { None }
    }

    /// Asks the store, and keeps the answer where memory may answer and the thing did not change meanwhile. Whoever calls
    /// boxes it: a question that memory answers must not carry the room for one that the store has to answer.
    async fn look_up<K, V, L, F>(&self, shelf: &Shelf<K, V>, key: K, load: L) -> Result<Option<Arc<V>>>
    where
        K: Hash + Eq + Clone + Debug + Send + Sync,
        V: Send + Sync,
        L: FnOnce(Box<dyn ReadTx>) -> F + Send,
        F: Future<Output = store::Result<Option<V>>> + Send,
    {
        // Before the store is asked, so that whatever changes from here on is noticed; and on the list before memory is
        // asked whether it may answer, so that one that falls silent and forgets everything marks this one too.
        let filling = Some(shelf.begin(key)).filter(|_| self.is_fresh());
        let asked = async {
            let tx = self.store.read(Scope::Platform).await?;
            load(tx).await
        };
        // A statement's own limit is the server's to keep; a server that is gone without a word keeps none.
        let patience = self.max_staleness.clamp(PATIENCE.0, PATIENCE.1);
        let found = match tokio::time::timeout(patience, asked).await {
            Ok(found) => found?.map(Arc::new),
            Err(_) => return Err(Error::Unavailable { internal: format!("no answer within {patience:?}") }),
        };
        if let Some(filling) = filling {
            filling.keep(found.clone());
        }
        Ok(found)
    }
}
