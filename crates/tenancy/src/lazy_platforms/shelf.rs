//! The platforms that are kept, and which of them has to go.
//!
//! [`LazyPlatforms`](super::LazyPlatforms) holds one behind a lock. Time is a parameter, and nothing is dropped in here:
//! what leaves is given back, as it may be much to drop and somebody may want to know. Invariant: the platforms stand in the
//! order in which they were last asked for.

use std::sync::Arc;
use std::time::Duration;

use hashlink::LinkedHashMap;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{BuildError, Eviction};
use crate::id::TenantId;

/// How many failures are remembered, where they are: strangers may ask for tenants that cannot be built.
const MOST_FAILURES: usize = 1_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) capacity: usize,
    pub(super) time_to_idle: Option<Duration>,
    pub(super) time_to_live: Option<Duration>,
    pub(super) failure_time_to_live: Duration,
    pub(super) build_timeout: Duration,
}

pub(super) struct Shelf<P> {
    limits: Limits,
    built: LinkedHashMap<TenantId, Built<P>>,
    failed: LinkedHashMap<TenantId, (BuildError, Instant)>,
    /// Who removes what nobody asks for any more.
    pub(super) sweeper: Option<AbortHandle>,
}

struct Built<P> {
    platform: Arc<P>,
    built_at: Instant,
    used_at: Instant,
}

/// A platform that left the shelf.
pub(super) struct Left<P> {
    pub(super) id: TenantId,
    pub(super) platform: Arc<P>,
    pub(super) why: Eviction,
}

impl<P> Shelf<P> {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, built: LinkedHashMap::new(), failed: LinkedHashMap::new(), sweeper: None }
    }

    pub(super) fn len(&self) -> usize {
        self.built.len()
    }

    /// A platform that has not outlived its time; from now on it is the one that was asked for last.
    pub(super) fn get(&mut self, id: &str, now: Instant) -> Option<Arc<P>> {
        if outlived(&self.limits, self.built.get(id)?, now).is_some() {
            return None;
        }
        let built = self.built.to_back(id)?;
        built.used_at = now;
        Some(Arc::clone(&built.platform))
    }

    pub(super) fn failure(&self, id: &str, now: Instant) -> Option<BuildError> {
        let (error, since) = self.failed.get(id)?;
        (now.saturating_duration_since(*since) < self.limits.failure_time_to_live).then(|| error.clone())
    }

    pub(super) fn put(&mut self, id: TenantId, platform: Arc<P>, now: Instant) -> Vec<Left<P>> {
        self.failed.remove(&*id);
        // It has outlived its time, or nobody would have built another.
        let before = self.built.get(&id).map(|built| outlived(&self.limits, built, now).unwrap_or(Eviction::Age));
        let mut left: Vec<_> = before.and_then(|why| self.remove(&id, why)).into_iter().collect();
        self.built.insert(id, Built { platform, built_at: now, used_at: now });
        while self.built.len() > self.limits.capacity {
            let least_recently_used = self.built.pop_front();
            left.extend(least_recently_used.map(|(id, built)| Left::new(id, built, Eviction::Capacity)));
        }
        left
    }

    pub(super) fn put_failure(&mut self, id: TenantId, error: BuildError, now: Instant) {
        if self.limits.failure_time_to_live.is_zero() {
            return;
        }
        self.failed.insert(id, (error, now));
        if self.failed.len() > MOST_FAILURES {
            self.failed.pop_front();
        }
    }

    pub(super) fn remove(&mut self, id: &str, why: Eviction) -> Option<Left<P>> {
        self.failed.remove(id);
        self.built.remove_entry(id).map(|(id, built)| Left::new(id, built, why))
    }

    pub(super) fn remove_all(&mut self) -> Vec<Left<P>> {
        self.failed.clear();
        self.built.drain().map(|(id, built)| Left::new(id, built, Eviction::Asked)).collect()
    }

    pub(super) fn remove_outlived(&mut self, now: Instant) -> Vec<Left<P>> {
        let why = |built: &Built<P>| outlived(&self.limits, built, now);
        let outlived: Vec<_> = self.built.iter().filter_map(|(id, built)| Some((id.clone(), why(built)?))).collect();
        outlived.into_iter().filter_map(|(id, why)| self.remove(&id, why)).collect()
    }

    /// When the next platform will have outlived its time, if nobody asks for it until then.
    pub(super) fn next_outlived_at(&self) -> Option<Instant> {
        let Limits { time_to_idle, time_to_live, .. } = self.limits;
        let at = |since: Instant, limit: Option<Duration>| since.checked_add(limit?);
        let of = |built: &Built<P>| at(built.used_at, time_to_idle).into_iter().chain(at(built.built_at, time_to_live));
        self.built.values().flat_map(of).min()
    }
}

impl<P> Left<P> {
    fn new(id: TenantId, built: Built<P>, why: Eviction) -> Self {
        Self { id, platform: built.platform, why }
    }
}

fn outlived<P>(limits: &Limits, built: &Built<P>, now: Instant) -> Option<Eviction> {
    let is_over = |since: Instant, limit: Option<Duration>| {
        limit.is_some_and(|limit| now.saturating_duration_since(since) >= limit)
    };
    if is_over(built.built_at, limits.time_to_live) {
        return Some(Eviction::Age);
    }
    is_over(built.used_at, limits.time_to_idle).then_some(Eviction::Idle)
}
