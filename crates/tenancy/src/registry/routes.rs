//! All routes of a registry, and look-ups of them that see every change as one step.
//!
//! `registry/mod.rs` and `registry/replace.rs` change routes under the book lock; requests look them up without one. A
//! look-up asks one candidate after the other: the longest prefix, shorter ones, the host itself, the wildcard above it.
//! A tenant that moves from a later candidate to an earlier one meanwhile would be met at neither, and its request go to
//! somebody else. So changes are counted, before and after; a look-up that passed a candidate over while one was under
//! way is made again until two in a row say the same. Invariant: it repeats only when somebody else got on, so that nobody
//! ever waits for a thread that stands still.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use foldhash::quality::RandomState;
use papaya::HashMap;
use seize::{Collector, Guard, LocalGuard};

use super::error::RegistryError;
use super::slot::{Published, Slot};
use super::table::{Looked, Route, Table};
use crate::host::{MAX_NAME, normalize_host_cow};
use crate::pattern::is_address;
use crate::route::RouteUrl;
use crate::sync::{Mutex, MutexGuard, lock, step};

pub(crate) struct Routes<P> {
    collector: Arc<Collector>,
    exact: Table<P>,
    /// Keyed by what stands behind `*.`.
    wild: Table<P>,
    /// Whether a wildcard was ever entered.
    has_wild: AtomicBool,
    /// Odd while a change is under way.
    changes: AtomicU64,
    spare: HashMap<u32, (), RandomState>,
    /// How many entries of `spare` are thrown after what was taken out.
    ballast: u32,
}

/// More than a change takes out as a rule: what it took out goes when the book is given back, and not before.
const BATCH: usize = 128;

/// The book lock. What was taken out under it holds platforms, whose `drop` may come back here: it goes after the lock.
pub(crate) struct Book<'a, P: Send + Sync + 'static> {
    book: Option<MutexGuard<'a, ()>>,
    held: Option<LocalGuard<'a>>,
    routes: &'a Routes<P>,
    took: Cell<bool>,
}

impl<P: Send + Sync + 'static> Book<'_, P> {
    /// Something was taken out, or is going to be.
    pub(crate) fn takes_out(&self) {
        self.took.set(true);
    }
}

impl<P: Send + Sync + 'static> Drop for Book<'_, P> {
    fn drop(&mut self) {
        drop(self.book.take());
        let Some(held) = self.held.take() else { return };
        if self.took.get() {
            // The collector keeps a thread's batch back while it has fewer entries than there are threads that look
            // something up; what is in it would stay until this thread changes something again.
            let spare = self.routes.spare.pin();
            for _ in 0..self.routes.ballast {
                let _ = spare.insert(0, ());
            }
            held.flush();
        }
    }
}

/// A change of what look-ups see, from its first step to its last. In between, one tenant publishes something once.
pub(crate) struct Change<'a>(&'a AtomicU64);

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl<P: Send + Sync + 'static> Routes<P> {
    pub(crate) fn new() -> Self {
        let collector = Arc::new(Collector::new().batch_size(BATCH));
        let spare = HashMap::builder().hasher(RandomState::default()).shared_collector(Arc::clone(&collector)).build();
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            exact: Table::new(&collector),
            wild: Table::new(&collector),
            has_wild: AtomicBool::new(false),
            changes: AtomicU64::new(0),
            spare,
            ballast: u32::try_from(2 * threads).unwrap_or(u32::MAX).clamp(8, 64),
            collector,
        }
    }

    /// Takes the book lock, and keeps what is taken out of the tables until it is given back.
    pub(crate) fn open<'a>(&'a self, book: &'a Mutex<()>) -> Book<'a, P> {
        let book = lock(book);
        Book { book: Some(book), held: Some(self.collector.enter()), routes: self, took: Cell::new(false) }
    }

    /// Takes what is wanted of the tenant that has the whole `host`, spelled as it is known; none if it takes more than a
    /// glance.
    #[inline]
    pub(crate) fn glance<T>(&self, host: &str, path: &str, take: impl FnOnce(&Published<P>) -> T) -> Option<T> {
        if host.len() <= MAX_NAME { self.exact.glance(host, path, take) } else { None }
    }

    /// Takes what is wanted of the tenant that `path` on `host` belongs to, served or refused.
    #[inline]
    pub(crate) fn find<T>(
        &self,
        host: &str,
        path: &str,
        take: impl Fn(&Arc<Slot<P>>, &Published<P>) -> T,
    ) -> Option<T> {
        let before = self.changes.load(Ordering::Acquire);
        let looked = self.look(host, path, |route, published| take(&route.slot, published));
        let answer = match looked {
            // It counted when it was looked at, and nothing could come before it.
            Looked::First(answer) => return Some(answer),
            Looked::Later(answer) => Some(answer),
            Looked::Shadowed | Looked::Absent => None,
        };
        if before.is_multiple_of(2) && self.unchanged_since(before) {
            return answer;
        }
        self.find_amid_changes(host, path, take)
    }

    /// A change publishes once: of two look-ups during one and the same, at most one can have been torn by it.
    #[cold]
    fn find_amid_changes<T>(
        &self,
        host: &str,
        path: &str,
        take: impl Fn(&Arc<Slot<P>>, &Published<P>) -> T,
    ) -> Option<T> {
        let which = |route: &Route<P>, published: &Published<P>| {
            (Arc::as_ptr(&route.slot), route.number, published.config_version)
        };
        loop {
            let before = self.changes.load(Ordering::Acquire);
            let once = self.look(host, path, which).answer();
            let again =
                self.look(host, path, |route, published| (which(route, published), take(&route.slot, published)));
            let again = again.answer();
            if once == again.as_ref().map(|(which, _)| *which) && self.unchanged_since(before) {
                return again.map(|(_, answer)| answer);
            }
        }
    }

    /// Whoever saw a part of a later change sees its count too.
    fn unchanged_since(&self, before: u64) -> bool {
        step();
        fence(Ordering::Acquire);
        self.changes.load(Ordering::Relaxed) == before
    }

    /// Asks the tables in the order in which they count.
    #[inline]
    fn look<T>(&self, host: &str, path: &str, take: impl Fn(&Route<P>, &Published<P>) -> T) -> Looked<T> {
        // Every key is in normal form, and so is what equals one: only who is not found needs to be normalised.
        if host.len() <= MAX_NAME {
            match self.exact.look(host, path, &take) {
                Looked::Absent => {}
                looked => return looked,
            }
        }
        self.look_normalised(host, path, take)
    }

    #[inline(never)]
    fn look_normalised<T>(&self, host: &str, path: &str, take: impl Fn(&Route<P>, &Published<P>) -> T) -> Looked<T> {
        let Ok(normal) = normalize_host_cow(host) else { return Looked::Absent };
        if *normal != *host {
            match self.exact.look(&normal, path, &take) {
                Looked::Absent => {}
                looked => return looked,
            }
        }
        if !self.has_wild.load(Ordering::Acquire) || is_address(&normal) {
            return Looked::Absent;
        }
        let Some((_, parent)) = normal.split_once('.') else { return Looked::Absent };
        match self.wild.look(parent, path, take) {
            Looked::First(answer) => Looked::Later(answer),
            looked => looked,
        }
    }

    /// # Errors
    /// [`RegistryError::RouteTaken`]: another tenant than the one of `slot` holds the route, or has reserved it.
    pub(crate) fn free_for(&self, slot: &Arc<Slot<P>>, route: &RouteUrl) -> Result<(), RegistryError> {
        let (host, path) = route.key();
        match self.table(route).holder(key(route), path) {
            Some(held) if !Arc::ptr_eq(&held.slot, slot) => {
                let holder = held.slot.read().tenant_id.clone();
                Err(RegistryError::RouteTaken { host: host.to_owned(), path: path.to_owned(), holder })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Begins a change. Under the book lock, which outlives it.
    pub(crate) fn change(&self) -> Change<'_> {
        self.changes.fetch_add(1, Ordering::AcqRel);
        Change(&self.changes)
    }

    /// Enters a route that nobody else holds; it counts as soon as its slot says so, or `seen` is what it says. Under the
    /// book lock.
    pub(crate) fn enter(&self, slot: &Arc<Slot<P>>, route: &RouteUrl, number: u32, seen: Option<&Arc<Published<P>>>) {
        step();
        if route.is_wildcard() {
            self.has_wild.store(true, Ordering::Release);
        }
        self.table(route).insert(key(route), route.prefix(), Route::new(slot, number, seen));
    }

    /// Takes a route out that its slot no longer counts. Under the book lock.
    pub(crate) fn strike(&self, slot: &Arc<Slot<P>>, route: &RouteUrl, number: u32) {
        step();
        self.table(route).remove(key(route), route.prefix(), slot, number);
    }

    /// Within a change, before it is published: a host that is given up may still answer then, but hides nobody who
    /// answers afterwards.
    pub(crate) fn shorten(&self, shadows: &Shadows) {
        shadows.0.iter().filter(|(_, more)| **more < 0).for_each(|(host, more)| self.settle(host, *more));
    }

    /// Within a change, after it was published: a host hides nobody who answered before until it answers itself.
    pub(crate) fn lengthen(&self, shadows: &Shadows) {
        shadows.0.iter().filter(|(_, more)| **more > 0).for_each(|(host, more)| self.settle(host, *more));
    }

    fn settle(&self, host: &str, more: i32) {
        step();
        self.exact.settle(host, more);
    }

    /// After something was published: brings it next to the routes that it is about. Under the book lock.
    pub(crate) fn show<'a>(&self, slot: &Arc<Slot<P>>, routes: impl IntoIterator<Item = (&'a RouteUrl, &'a u32)>) {
        for (route, number) in routes {
            step();
            self.table(route).show(key(route), route.prefix(), slot, *number);
        }
    }

    fn table(&self, route: &RouteUrl) -> &Table<P> {
        if route.is_wildcard() { &self.wild } else { &self.exact }
    }
}

impl<T> Looked<T> {
    fn answer(self) -> Option<T> {
        match self {
            Self::First(answer) | Self::Later(answer) => Some(answer),
            Self::Shadowed | Self::Absent => None,
        }
    }
}

/// How many prefixes more, or fewer, exact hosts have after a change. One that keeps some hides wildcards throughout; one
/// that is somebody's as a whole answers everything itself.
pub(crate) struct Shadows(BTreeMap<Box<str>, i32>);

impl Shadows {
    pub(crate) fn of<'a>(
        come: impl IntoIterator<Item = &'a RouteUrl>,
        gone: impl IntoIterator<Item = &'a RouteUrl>,
    ) -> Self {
        let mut hosts = BTreeMap::new();
        let come = come.into_iter().map(|route| (route, 1));
        for (route, more) in come.chain(gone.into_iter().map(|route| (route, -1))) {
            if !route.is_wildcard() && route.prefix() != "/" {
                *hosts.entry(key(route).into()).or_default() += more;
            }
        }
        Self(hosts)
    }
}

/// What the route's table has it under.
fn key(route: &RouteUrl) -> &str {
    let host = route.host().as_str();
    host.strip_prefix("*.").unwrap_or(host)
}
