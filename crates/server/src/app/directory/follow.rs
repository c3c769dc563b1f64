//! How memory is kept true: one task follows the store's change feed and makes the directory forget what changed.
//!
//! `serve` spawns [`Directory::follow`] once. Invariant: the feed counts as confirmed only by a look that began at that
//! moment and found nothing missing; until then memory ages, and past its bound it answers nobody.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::{Change, ChangeKind, ChangeSeq, KeyHash};
use futures_util::FutureExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use store::StoreError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Directory;

/// How many changes are read at once.
const BATCH: usize = 1_000;
/// The shortest time between two looks at the feed: under a load of writes every commit wakes the follower, and a look
/// for each would cost the database as much again as the writes.
const BREATH: Duration = Duration::from_millis(5);
/// After this long a look at the feed is given up.
const ADVANCE_TIMEOUT: Duration = Duration::from_secs(20);

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

impl Directory {
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
            // Silent first, then empty: what is looked up from here on is not kept before a place in this server's feed is
            // found, or a change between the look-up and that place would never be told.
            self.confirmed.store(0, Ordering::Release);
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
        let change = &change.change;
        let value = change.value.as_deref();
        let told = match change.kind {
            ChangeKind::Tenant => change
                .tenant_id
                .zip(read(value))
                .map(|(id, Named { slug, metadata })| self.forget(id, &slug, &metadata)),
            // A route's id is host and prefix, and no host has a slash.
            ChangeKind::Host => change.id.split('/').next().map(|host| self.forget_host(host)),
            ChangeKind::Entitlement => change.tenant_id.map(|tenant| self.forget_entitlements(tenant)),
            ChangeKind::ApiKey => {
                read(value).and_then(|Hash { hash }| KeyHash::from_hex(&hash)).map(|hash| self.forget_api_key(&hash))
            }
        };
        if told.is_none() {
            // Not one that this program writes: better to know nothing than something wrong.
            self.forget_everything();
        }
    }
}

/// By what a tenant's change names it, beside its id; one that is gone has no metadata any more.
#[derive(Deserialize)]
struct Named {
    slug: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// By what a key's change names it.
#[derive(Deserialize)]
struct Hash {
    hash: String,
}

fn read<T: DeserializeOwned>(value: Option<&str>) -> Option<T> {
    serde_json::from_str(value?).ok()
}
