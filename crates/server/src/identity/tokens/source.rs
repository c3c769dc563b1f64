//! Keeps the issuer's key set: when to fetch it, who waits for it, and how long an old one will do.
//!
//! [`super::TokenVerifier`] asks for the current keys and, after an unknown key id, for newer ones. A fetch runs as its own
//! task: a caller that goes away does not end it, and callers that come meanwhile join it instead of starting another.
//! Invariant: a failing fetch never drops known keys; only [`MAX_STALE`] without a successful one does.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use domain::{Clock, Timestamp};
use tokio::sync::watch;

use super::error::TokenError;
use super::fetch::{FetchError, fetch_keys};
use super::keys::KeySet;

/// How long known keys outlive their time-to-live while the issuer does not answer. A trade: an outage of Keycloak does not
/// log everybody out, and a key withdrawn during one works for an hour at most (its tokens expire sooner by themselves).
const MAX_STALE: Duration = Duration::from_secs(3600);

/// Without any key every call fails, so the next try comes sooner than it would with some: at start-up this service is often
/// faster than its issuer.
const COLD_RETRY: Duration = Duration::from_secs(1);

/// When keys are fetched.
pub(super) struct Policy {
    pub(super) jwks_ttl: Duration,
    pub(super) min_refetch_interval: Duration,
    pub(super) fetch_timeout: Duration,
}

/// The issuer's keys, fetched as needed.
pub(super) struct KeySource {
    issuer: Arc<str>,
    http: reqwest::Client,
    policy: Policy,
    clock: Arc<dyn Clock>,
    current: ArcSwapOption<KeySet>,
    fetches: Mutex<Fetches>,
}

#[derive(Default)]
struct Fetches {
    /// Closed when the fetch that is under way has ended, whatever came of it.
    under_way: Option<watch::Receiver<()>>,
    /// When the last fetch failed, if it did: the issuer is known to be away.
    failed_at: Option<Timestamp>,
    /// When an unknown key id last led to a fetch. Counted apart from other fetches, so that a rotation right after
    /// a regular fetch is seen at once.
    unknown_kid_at: Option<Timestamp>,
}

/// Why a fetch is wanted.
enum Cause {
    NoKeys,
    Stale,
    UnknownKid,
}

impl KeySource {
    pub(super) fn new(issuer: Arc<str>, http: reqwest::Client, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        Self { issuer, http, policy, clock, current: ArcSwapOption::empty(), fetches: Mutex::default() }
    }

    /// The generation of the keys if they are within their time-to-live. No allocation, no lock.
    pub(super) fn fresh_generation(&self, now: Timestamp) -> Option<u64> {
        let current = self.current.load();
        let keys = current.as_ref()?;
        self.is_fresh(keys, now).then_some(keys.generation)
    }

    /// The keys to judge by: fresh ones, or during an outage the last known.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Arc<KeySet>, TokenError> {
        let now = self.clock.now();
        let known = self.current.load_full().filter(|keys| self.is_usable(keys, now));
        match known {
            Some(keys) if self.is_fresh(&keys, now) => return Ok(keys),
            Some(keys) => {
                let fetch = self.start_or_join(&Cause::Stale, now);
                // Once the issuer is known to be away, nobody waits a time-out for it; the fetch goes on behind.
                if self.issuer_is_away() {
                    return Ok(keys);
                }
                ended(fetch).await;
            }
            None => ended(self.start_or_join(&Cause::NoKeys, now)).await,
        }
        let now = self.clock.now();
        self.current.load_full().filter(|keys| self.is_usable(keys, now)).ok_or(TokenError::Unavailable)
    }

    /// The keys after a token's key id was not among the current ones: fetched anew unless an unknown id led to a fetch
    /// just now, for anybody can make up ids.
    pub(super) async fn after_unknown_kid(self: &Arc<Self>) -> Result<Arc<KeySet>, TokenError> {
        ended(self.start_or_join(&Cause::UnknownKid, self.clock.now())).await;
        self.current.load_full().ok_or(TokenError::Unavailable)
    }

    /// Whether the last fetch failed, so that "no such key" cannot be said for certain.
    pub(super) fn issuer_is_away(&self) -> bool {
        self.fetches().failed_at.is_some()
    }

    fn is_fresh(&self, keys: &KeySet, now: Timestamp) -> bool {
        distance(keys.fetched_at, now) < micros(self.policy.jwks_ttl)
    }

    fn is_usable(&self, keys: &KeySet, now: Timestamp) -> bool {
        distance(keys.fetched_at, now) < micros(self.policy.jwks_ttl.saturating_add(MAX_STALE))
    }

    /// Joins the fetch that is under way, or starts one if its cause allows it now.
    fn start_or_join(self: &Arc<Self>, cause: &Cause, now: Timestamp) -> Option<watch::Receiver<()>> {
        let pause = self.policy.min_refetch_interval;
        let mut fetches = self.fetches();
        if let Some(under_way) = fetches.under_way.as_ref().filter(|fetch| fetch.has_changed().is_ok()) {
            return Some(under_way.clone());
        }
        let allowed = match cause {
            Cause::NoKeys => has_passed(fetches.failed_at, pause.min(COLD_RETRY), now),
            Cause::Stale => has_passed(fetches.failed_at, pause, now),
            Cause::UnknownKid => {
                has_passed(fetches.failed_at, pause, now) && has_passed(fetches.unknown_kid_at, pause, now)
            }
        };
        if !allowed {
            return None;
        }
        if matches!(cause, Cause::UnknownKid) {
            fetches.unknown_kid_at = Some(now);
        }
        let (end, under_way) = watch::channel(());
        fetches.under_way = Some(under_way.clone());
        drop(fetches);
        tokio::spawn(Arc::clone(self).refetch(end));
        Some(under_way)
    }

    /// One fetch. Dropping `_end`, also by a panic, wakes those who wait.
    async fn refetch(self: Arc<Self>, _end: watch::Sender<()>) {
        let began = self.clock.now();
        let answer = tokio::time::timeout(self.policy.fetch_timeout, fetch_keys(&self.http, &self.issuer)).await;
        match answer.unwrap_or(Err(FetchError::TimedOut)) {
            Ok(keys) => {
                let previous = self.current.load_full();
                let keys = KeySet::new(keys, previous.as_deref(), began);
                if previous.is_none_or(|previous| previous.generation != keys.generation) {
                    tracing::info!(issuer = %self.issuer, ?keys, "the issuer's keys have changed");
                }
                // The keys first: who sees the issuer back must find its keys.
                self.current.store(Some(Arc::new(keys)));
                self.fetches().failed_at = None;
            }
            Err(error) => {
                tracing::warn!(issuer = %self.issuer, error = &error as &dyn std::error::Error, "no new keys");
                self.fetches().failed_at = Some(self.clock.now());
            }
        }
    }

    /// Nothing panics while it holds the lock, and the state is right at every moment: poison tells nothing.
    fn fetches(&self) -> MutexGuard<'_, Fetches> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySource").field("issuer", &self.issuer).field("keys", &*self.current.load()).finish()
    }
}

/// Waits for a fetch to end, however it does.
async fn ended(fetch: Option<watch::Receiver<()>>) {
    if let Some(mut fetch) = fetch {
        // Nothing is ever sent: the error that the channel is closed is the signal.
        let _closed = fetch.changed().await;
    }
}

/// Whether `pause` has passed since. A clock that was set back has passed everything, or it would block fetches for that long.
fn has_passed(since: Option<Timestamp>, pause: Duration, now: Timestamp) -> bool {
    since.is_none_or(|since| now < since || distance(since, now) >= micros(pause))
}

/// In microseconds. Absolute, so that keys from "the future" of a clock that was set back by days are not fresh for days.
fn distance(from: Timestamp, to: Timestamp) -> i64 {
    to.as_microsecond().saturating_sub(from.as_microsecond()).saturating_abs()
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
