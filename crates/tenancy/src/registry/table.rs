//! Which tenant holds which route, for look-ups that wait for nobody.
//!
//! `routes.rs` keeps one [`Table`] of exact hosts and one of wildcards. It changes them under the registry's book lock;
//! look-ups read them without one. A host's own route stands beside its key, since most tenants own a whole host;
//! prefixes are in a second map, asked once per segment of the path. Invariants: a route counts only while its slot says
//! so ([`Published::owns`]), so that a tenant's routes change in one step whatever stands here; keys are in normal form.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;
use papaya::{Equivalent, HashMap};
use seize::Collector;

use super::slot::{Published, Slot};
use crate::prefix::path_of;
use crate::sync::step;

/// A route in a table: whose it is, and the number under which its slot knows it.
pub(crate) struct Route<P> {
    pub(crate) slot: Arc<Slot<P>>,
    pub(crate) number: u32,
    /// What the slot had published when somebody looked last, or is going to: as good as the slot itself while it is
    /// current, and one step nearer.
    seen: Option<Arc<Published<P>>>,
}

impl<P> Clone for Route<P> {
    fn clone(&self) -> Self {
        Self { slot: Arc::clone(&self.slot), number: self.number, seen: self.seen.clone() }
    }
}

impl<P> Route<P> {
    pub(crate) fn new(slot: &Arc<Slot<P>>, number: u32, seen: Option<&Arc<Published<P>>>) -> Self {
        Self { slot: Arc::clone(slot), number, seen: seen.cloned() }
    }

    /// Takes what is wanted of what the slot has published, if the route counts.
    #[inline]
    fn look<T>(&self, take: impl FnOnce(&Self, &Published<P>) -> T) -> Option<T> {
        step();
        match &self.seen {
            Some(seen) if seen.is_current() => seen.owns(self.number).then(|| take(self, seen)),
            Some(_) | None => self.look_at_slot(take),
        }
    }

    #[inline(never)]
    fn look_at_slot<T>(&self, take: impl FnOnce(&Self, &Published<P>) -> T) -> Option<T> {
        let published = self.slot.published();
        published.owns(self.number).then(|| take(self, &published))
    }

    fn is_of(&self, slot: &Arc<Slot<P>>, number: u32) -> bool {
        self.number == number && Arc::ptr_eq(&self.slot, slot)
    }
}

/// What is known under one host.
struct Host<P> {
    /// The route that owns the host where no prefix does.
    root: Option<Route<P>>,
    /// How many prefixes there are.
    prefixes: u32,
    /// No prefix has more segments than this.
    deepest: u32,
    /// How many prefixes count, and are not only reserved: what makes an exact host shadow a wildcard for other paths.
    settled: u32,
}

impl<P> Clone for Host<P> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), ..*self }
    }
}

impl<P> Default for Host<P> {
    fn default() -> Self {
        Self { root: None, prefixes: 0, deepest: 0, settled: 0 }
    }
}

#[derive(PartialEq, Eq)]
struct PrefixKey {
    host: Box<str>,
    prefix: Box<str>,
}

struct PrefixRef<'a> {
    host: &'a str,
    prefix: &'a str,
}

impl Hash for PrefixKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        PrefixRef { host: &self.host, prefix: &self.prefix }.hash(state);
    }
}

impl Hash for PrefixRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.host.hash(state);
        self.prefix.hash(state);
    }
}

impl Equivalent<PrefixKey> for PrefixRef<'_> {
    fn equivalent(&self, key: &PrefixKey) -> bool {
        *self.prefix == *key.prefix && *self.host == *key.host
    }
}

/// What a table says of a host and a path.
pub(crate) enum Looked<T> {
    /// The first route that could come into question, whatever happens meanwhile.
    First(T),
    /// A route after others that came into question, or may have: they were not there or did not count.
    Later(T),
    /// The host is here, and nothing of it covers the path: nobody else may answer either.
    Shadowed,
    Absent,
}

pub(crate) struct Table<P> {
    hosts: HashMap<Box<str>, Host<P>, RandomState>,
    prefixes: HashMap<PrefixKey, Route<P>, RandomState>,
}

impl<P: Send + Sync + 'static> Table<P> {
    /// What is taken out goes by way of `collector`.
    pub(crate) fn new(collector: &Arc<Collector>) -> Self {
        Self {
            hosts: HashMap::builder().hasher(RandomState::default()).shared_collector(Arc::clone(collector)).build(),
            prefixes: HashMap::builder().hasher(RandomState::default()).shared_collector(Arc::clone(collector)).build(),
        }
    }

    /// Takes what is wanted of a host that is somebody's as a whole, as most are: what [`Table::look`] would say first. None
    /// of everything else.
    #[inline]
    pub(crate) fn glance<T>(&self, host: &str, path: &str, take: impl FnOnce(&Published<P>) -> T) -> Option<T> {
        step();
        let guard = self.hosts.guard();
        let held = self.hosts.get(host, &guard)?;
        if held.deepest > 0 && path.len() > 1 {
            return None;
        }
        let root = held.root.as_ref()?;
        let seen = root.seen.as_deref()?;
        (seen.is_current() && seen.owns(root.number)).then(|| take(seen))
    }

    /// Takes what is wanted of the route that covers `path` on `host`, and of what its tenant has published.
    #[inline]
    pub(crate) fn look<T>(&self, host: &str, path: &str, take: impl Fn(&Route<P>, &Published<P>) -> T) -> Looked<T> {
        let guard = self.hosts.guard();
        let Some(held) = self.hosts.get(host, &guard) else {
            return Looked::Absent;
        };
        let prefixes = held.deepest > 0 && path.len() > 1;
        if prefixes && let Some(looked) = self.look_at_prefixes(held, host, path, &take) {
            return looked;
        }
        if let Some(answer) = held.root.as_ref().and_then(|root| root.look(&take)) {
            // Of a longer path a prefix may have come since the host was read.
            return if path.len() > 1 { Looked::Later(answer) } else { Looked::First(answer) };
        }
        if held.settled > 0 { Looked::Shadowed } else { Looked::Absent }
    }

    #[inline(never)]
    fn look_at_prefixes<T>(
        &self,
        held: &Host<P>,
        host: &str,
        path: &str,
        take: impl Fn(&Route<P>, &Published<P>) -> T,
    ) -> Option<Looked<T>> {
        let guard = self.prefixes.guard();
        prefixes_of(path, held.deepest).find_map(|prefix| {
            step();
            let route = self.prefixes.get(&PrefixRef { host, prefix }, &guard)?;
            let answer = route.look(&take)?;
            Some(Looked::Later(answer))
        })
    }

    /// The slot that holds, or has reserved, this very route.
    pub(crate) fn holder(&self, host: &str, prefix: &str) -> Option<Route<P>> {
        if prefix == "/" {
            return self.hosts.pin().get(host).and_then(|held| held.root.clone());
        }
        self.prefixes.pin().get(&PrefixRef { host, prefix }).cloned()
    }

    /// Enters a route that nobody holds, and that shadows nothing yet. Under the book lock.
    pub(crate) fn insert(&self, host: &str, prefix: &str, route: Route<P>) {
        let hosts = self.hosts.pin();
        let mut held = hosts.get(host).cloned().unwrap_or_default();
        if prefix == "/" {
            held.root = Some(route);
        } else {
            held.prefixes += 1;
            held.deepest = held.deepest.max(segments(prefix));
            self.prefixes.pin().insert(PrefixKey { host: host.into(), prefix: prefix.into() }, route);
        }
        hosts.insert(host.into(), held);
    }

    /// So many prefixes of a host count more, or fewer. Under the book lock.
    pub(crate) fn settle(&self, host: &str, more: i32) {
        let hosts = self.hosts.pin();
        if let Some(mut held) = hosts.get(host).cloned() {
            held.settled = held.settled.saturating_add_signed(more);
            hosts.insert(host.into(), held);
        }
    }

    /// Brings what `slot` has published next to its route. Under the book lock.
    pub(crate) fn show(&self, host: &str, prefix: &str, slot: &Arc<Slot<P>>, number: u32) {
        let shown = || Route::new(slot, number, Some(&slot.published()));
        if prefix == "/" {
            let hosts = self.hosts.pin();
            if let Some(held) = hosts.get(host)
                && held.root.as_ref().is_some_and(|root| root.is_of(slot, number))
            {
                hosts.insert(host.into(), Host { root: Some(shown()), ..*held });
            }
        } else {
            let prefixes = self.prefixes.pin();
            let key = PrefixRef { host, prefix };
            if prefixes.get(&key).is_some_and(|route| route.is_of(slot, number)) {
                prefixes.insert(PrefixKey { host: host.into(), prefix: prefix.into() }, shown());
            }
        }
    }

    /// Takes a route out that `slot` holds under `number`; one that it holds no longer stays. Under the book lock.
    pub(crate) fn remove(&self, host: &str, prefix: &str, slot: &Arc<Slot<P>>, number: u32) {
        let is_it = |route: &Route<P>| route.is_of(slot, number);
        let hosts = self.hosts.pin();
        let Some(mut held) = hosts.get(host).cloned() else { return };
        if prefix == "/" {
            if !held.root.as_ref().is_some_and(is_it) {
                return;
            }
            held.root = None;
        } else {
            let prefixes = self.prefixes.pin();
            let key = PrefixRef { host, prefix };
            if !prefixes.get(&key).is_some_and(is_it) {
                return;
            }
            prefixes.remove(&key);
            held.prefixes -= 1;
            if held.prefixes == 0 {
                held.deepest = 0;
            }
        }
        if held.root.is_none() && held.prefixes == 0 {
            hosts.remove(host);
        } else {
            hosts.insert(host.into(), held);
        }
    }
}

/// How many segments a prefix has.
fn segments(prefix: &str) -> u32 {
    u32::try_from(prefix.bytes().filter(|b| *b == b'/').count()).unwrap_or(u32::MAX)
}

/// The prefixes that cover `path` on segment boundaries and have at most `deepest` segments, the longest first; the root
/// is not among them.
fn prefixes_of(path: &str, deepest: u32) -> impl Iterator<Item = &str> {
    let path = if deepest == 0 || !path.starts_with('/') { "" } else { path_of(path) };
    let mut slashes = path.bytes().enumerate().filter(|(_, b)| *b == b'/').map(|(at, _)| at);
    // The first slash begins the first segment, and so this one ends the last that counts.
    let end = slashes.nth(deepest as usize).unwrap_or(path.len());
    let mut rest = Some(&path[..end]);
    std::iter::from_fn(move || {
        let prefix = rest.filter(|prefix| !prefix.is_empty())?;
        rest = prefix.rfind('/').map(|at| &prefix[..at]);
        Some(prefix)
    })
}
