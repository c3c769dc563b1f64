//! The read model: tenants in memory, kept true by the change feed.
//!
//! Reads of the request path come here. It is filled on demand, bounded, and follows the store's feed in a task of its
//! own. Invariants: a fill that began before a change never outlives it; a process that could not confirm the feed within
//! its bound asks the store, and refuses when that is away too; what this process changes it forgets before it answers.

use std::collections::HashMap;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::{Change, ChangeKind, ChangeSeq, Error, KeyHash, Result, Tenant, TenantId, Timestamp};
use futures_util::FutureExt;
use moka::sync::Cache;
use store::{Scope, Store, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::known_key::KnownKey;

/// How many tenants are kept, under each name; about a kilobyte each.
const CAPACITY: u64 = 100_000;
/// How many changes are read at once.
const BATCH: usize = 1_000;
/// The shortest time between two looks at the feed: under a load of writes every commit wakes the follower, and a look
/// for each would cost the database as much again as the writes.
const BREATH: Duration = Duration::from_millis(5);

/// After this long a look at the feed is given up.
const ADVANCE_TIMEOUT: Duration = Duration::from_secs(20);

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

/// What a tenant is looked up by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Id(TenantId),
    Slug(Box<str>),
}

/// A look-up in the store that is under way.
#[derive(Debug, Default)]
struct Fill {
    /// The thing changed after the look-up began: what it brings may be old.
    outdated: AtomicBool,
}

/// The read model. See the module.
#[derive(Debug)]
pub struct Directory {
    store: Arc<dyn Store>,
    by_id: Cache<TenantId, Option<Arc<Known>>>,
    by_slug: Cache<Box<str>, Option<Arc<Known>>>,
    fills: Mutex<HashMap<Key, Vec<Arc<Fill>>>>,
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
            by_id: Cache::new(CAPACITY),
            by_slug: Cache::new(CAPACITY),
            fills: Mutex::default(),
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
        if !self.is_fresh() {
            return self.load(&Key::Id(id)).await;
        }
        match self.by_id.get(&id) {
            Some(known) => Ok(known),
            None => self.fill(Key::Id(id)).await,
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
        if !self.is_fresh() {
            return self.load(&Key::Slug(slug.into())).await;
        }
        match self.by_slug.get(slug) {
            Some(known) => Ok(known),
            None => self.fill(Key::Slug(slug.into())).await,
        }
    }

    /// A key by its hash, as it was last written.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn api_key(&self, hash: &KeyHash) -> Result<Option<Arc<KnownKey>>> {
        let found = self.store.read(Scope::Platform).await?.get_api_key_by_hash(hash).await?;
        Ok(found.map(|key| Arc::new(KnownKey::new(key))))
    }

    /// Forgets a key, because it changed.
    pub fn forget_api_key(&self, _hash: &KeyHash) {}

    /// The products that a tenant may use at `now`, sorted.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn products(&self, _tenant: TenantId, _now: Timestamp) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Forgets a tenant, because it changed. Whatever is being looked up about it will not be kept.
    pub fn forget(&self, id: TenantId, slug: &str) {
        let fills = self.fills();
        for key in [Key::Id(id), Key::Slug(slug.into())] {
            for fill in fills.get(&key).into_iter().flatten() {
                fill.outdated.store(true, Ordering::Relaxed);
            }
        }
        // Under the same lock under which fills are kept, so that none slips in between.
        self.by_id.invalidate(&id);
        self.by_slug.invalidate(slug);
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

    /// Follows the feed until told to stop. Ends only then.
    pub async fn follow(&self, stop: CancellationToken) {
        let mut wake = self.store.wake();
        let pause = (self.max_staleness / 8).clamp(Duration::from_millis(20), Duration::from_millis(250));
        let mut place = Place::default();
        let mut was_fresh = false;
        while !stop.is_cancelled() {
            let is_fresh = self.is_fresh();
            if was_fresh && !is_fresh {
                tracing::warn!(?place, "the change feed stands still: reads go to the store until it moves");
            }
            was_fresh = is_fresh;
            let began = Instant::now();
            // A statement's own limit is the server's to keep; a server that is gone without a word keeps none.
            let advance = tokio::time::timeout(ADVANCE_TIMEOUT, self.advance(&mut place));
            let outcome = match AssertUnwindSafe(advance).catch_unwind().await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(StoreError::Timeout(format!("no answer within {ADVANCE_TIMEOUT:?}"))),
                Err(_) => Err(StoreError::Other("reading the feed panicked".to_owned())),
            };
            let wait = match outcome {
                Ok(Progress::Confirmed) => {
                    let micros = u64::try_from((began - self.started).as_micros()).unwrap_or(u64::MAX - 1);
                    self.confirmed.store(micros + 1, Ordering::Release);
                    pause
                }
                Ok(Progress::More) => continue,
                // A number is missing whose transaction may yet commit: it will be seen soon.
                Ok(Progress::Waiting) => Duration::from_millis(10),
                Err(error) => {
                    tracing::warn!(%error, "the change feed cannot be read; memory will not answer for longer than its bound");
                    pause
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = wake.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
            tokio::time::sleep_until(began + BREATH).await;
        }
    }

    async fn advance(&self, place: &mut Place) -> Result<Progress, StoreError> {
        let from = match place.seq {
            Some(seq) => seq,
            // Nothing is kept yet, so nothing before this place matters.
            None => *place.seq.insert(self.store.head().await?),
        };
        let page = self.store.changes(from, BATCH).await?;
        if place.server.replace(page.server).is_some_and(|server| server != page.server) {
            tracing::warn!("another database server answers: what was in memory is forgotten");
            self.forget_everything();
            place.seq = None;
            return Ok(Progress::More);
        }
        for change in &page.changes {
            self.apply(change);
            place.seq = Some(change.seq);
        }
        Ok(match (page.complete, page.changes.is_empty()) {
            (true, _) => Progress::Confirmed,
            (false, false) => Progress::More,
            (false, true) => Progress::Waiting,
        })
    }

    fn apply(&self, change: &Change) {
        match change.change.kind {
            ChangeKind::Tenant => {
                let slug = change.change.value.as_deref().and_then(slug_of);
                match (change.change.tenant_id, slug) {
                    (Some(id), Some(slug)) => self.forget(id, &slug),
                    // Not one that this program writes: better to know nothing than something wrong.
                    _ => self.forget_everything(),
                }
            }
            // A route's change comes with one of its tenant, whose version counts it.
            ChangeKind::Host | ChangeKind::Entitlement | ChangeKind::ApiKey => {}
        }
    }

    fn forget_everything(&self) {
        let fills = self.fills();
        for fill in fills.values().flatten() {
            fill.outdated.store(true, Ordering::Relaxed);
        }
        self.by_id.invalidate_all();
        self.by_slug.invalidate_all();
    }

    /// Asks the store, and keeps the answer unless the thing changed meanwhile.
    async fn fill(&self, key: Key) -> Result<Option<Arc<Known>>> {
        let filling = Filling::begin(self, key);
        let found = self.load(&filling.key).await?;
        filling.keep(&found);
        Ok(found)
    }

    async fn load(&self, key: &Key) -> Result<Option<Arc<Known>>> {
        let mut tx = self.store.read(Scope::Platform).await?;
        let found = match key {
            Key::Id(id) => tx.get_tenant(*id).await,
            Key::Slug(slug) => tx.get_tenant_by_slug(slug).await,
        };
        Ok(found.map_err(Error::from)?.map(|tenant| Arc::new(Known::new(tenant))))
    }

    fn fills(&self) -> MutexGuard<'_, HashMap<Key, Vec<Arc<Fill>>>> {
        self.fills.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far the feed was followed, and of which server.
#[derive(Debug, Default)]
struct Place {
    seq: Option<ChangeSeq>,
    server: Option<u64>,
}

enum Progress {
    Confirmed,
    More,
    Waiting,
}

/// A fill under way; takes itself off the list however it ends.
struct Filling<'a> {
    directory: &'a Directory,
    key: Key,
    fill: Arc<Fill>,
}

impl<'a> Filling<'a> {
    fn begin(directory: &'a Directory, key: Key) -> Self {
        let fill = Arc::new(Fill::default());
        directory.fills().entry(key.clone()).or_default().push(Arc::clone(&fill));
        Self { directory, key, fill }
    }

    fn keep(&self, found: &Option<Arc<Known>>) {
        let _fills = self.directory.fills();
        if self.fill.outdated.load(Ordering::Relaxed) {
            return;
        }
        match &self.key {
            Key::Id(id) => self.directory.by_id.insert(*id, found.clone()),
            Key::Slug(slug) => self.directory.by_slug.insert(slug.clone(), found.clone()),
        }
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        let mut fills = self.directory.fills();
        if let Some(waiting) = fills.get_mut(&self.key) {
            waiting.retain(|fill| !Arc::ptr_eq(fill, &self.fill));
            if waiting.is_empty() {
                fills.remove(&self.key);
            }
        }
    }
}

/// The slug in a tenant's change.
fn slug_of(value: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        slug: String,
    }
    serde_json::from_str::<Named>(value).ok().map(|named| named.slug)
}
