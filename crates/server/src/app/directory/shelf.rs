//! One kind of thing in memory: what was found under a name, and what was found to be absent.
//!
//! The directory has one for each way in which it is asked. Invariant: what a look-up brings is kept only if the thing was
//! not forgotten since the look-up began, so that a late answer of the store can never bring an old state back.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::Equivalent;
use quick_cache::sync::Cache;

/// A bounded map from names to things, or to the knowledge that there is none. Beyond its capacity what was asked for least
/// goes.
#[derive(Debug)]
pub(super) struct Shelf<K, V> {
    kept: Cache<K, Option<Arc<V>>>,
    /// Look-ups under way, by what they look for.
    fills: Mutex<HashMap<K, Vec<Arc<Fill>>>>,
}

/// A look-up in the store that is under way.
#[derive(Debug, Default)]
struct Fill {
    /// The thing changed after the look-up began: what it brings may be old.
    outdated: AtomicBool,
}

impl<K: Hash + Eq + Clone + Debug, V> Shelf<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { kept: Cache::new(capacity), fills: Mutex::default() }
    }

    /// What is kept under a name: a thing, its absence, or nothing.
    pub(super) fn get<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<Option<Arc<V>>> {
        self.kept.get(key)
    }

    /// How many names are kept.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Begins a look-up. What it brings is kept by [`Filling::keep`].
    pub(super) fn begin(&self, key: K) -> Filling<'_, K, V> {
        let fill = Arc::new(Fill::default());
        self.fills().entry(key.clone()).or_default().push(Arc::clone(&fill));
        Filling { shelf: self, key, fill }
    }

    /// Forgets what is kept under a name, because it changed. Whatever is being looked up under it will not be kept.
    pub(super) fn forget(&self, key: &K) {
        let fills = self.fills();
        for fill in fills.get(key).into_iter().flatten() {
            fill.outdated.store(true, Ordering::Relaxed);
        }
        // Under the same lock under which fills are kept, so that none slips in between.
        self.kept.remove(key);
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        let fills = self.fills();
        for fill in fills.values().flatten() {
            fill.outdated.store(true, Ordering::Relaxed);
        }
        self.kept.clear();
    }

    fn fills(&self) -> MutexGuard<'_, HashMap<K, Vec<Arc<Fill>>>> {
        self.fills.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A look-up under way; takes itself off the list however it ends.
pub(super) struct Filling<'a, K: Hash + Eq + Clone + Debug, V> {
    shelf: &'a Shelf<K, V>,
    key: K,
    fill: Arc<Fill>,
}

impl<K: Hash + Eq + Clone + Debug, V> Filling<'_, K, V> {
    /// Keeps what was found, unless the thing changed meanwhile.
    pub(super) fn keep(self, found: Option<Arc<V>>) {
        let _fills = self.shelf.fills();
        if !self.fill.outdated.load(Ordering::Relaxed) {
            self.shelf.kept.insert(self.key.clone(), found);
        }
    }
}

impl<K: Hash + Eq + Clone + Debug, V> Drop for Filling<'_, K, V> {
    fn drop(&mut self) {
        let mut fills = self.shelf.fills();
        if let Some(waiting) = fills.get_mut(&self.key) {
            waiting.retain(|fill| !Arc::ptr_eq(fill, &self.fill));
            if waiting.is_empty() {
                fills.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shelf;
    use std::sync::Arc;

    fn shelf() -> Shelf<u8, &'static str> {
        Shelf::new(10)
    }

    #[test]
    fn what_was_found_is_kept_and_so_is_its_absence() {
        let shelf = shelf();
        assert_eq!(shelf.get(&1), None);
        shelf.begin(1).keep(Some(Arc::new("one")));
        shelf.begin(2).keep(None);
        assert_eq!((shelf.get(&1), shelf.get(&2)), (Some(Some(Arc::new("one"))), Some(None)));
        shelf.forget(&1);
        assert_eq!((shelf.get(&1), shelf.get(&2)), (None, Some(None)));
    }

    #[test]
    fn a_look_up_that_began_before_a_change_is_not_kept() {
        let shelf = shelf();
        let (old, other) = (shelf.begin(1), shelf.begin(2));
        shelf.forget(&1);
        let new = shelf.begin(1);
        old.keep(Some(Arc::new("old")));
        assert_eq!(shelf.get(&1), None);
        new.keep(Some(Arc::new("new")));
        other.keep(Some(Arc::new("other")));
        assert_eq!((shelf.get(&1), shelf.get(&2)), (Some(Some(Arc::new("new"))), Some(Some(Arc::new("other")))));
    }

    #[test]
    fn after_everything_was_forgotten_no_earlier_look_up_is_kept() {
        let shelf = shelf();
        shelf.begin(1).keep(None);
        let old = shelf.begin(2);
        shelf.clear();
        old.keep(Some(Arc::new("old")));
        assert_eq!((shelf.get(&1), shelf.get(&2), shelf.len()), (None, None, 0));
    }

    #[test]
    fn look_ups_that_ended_leave_nothing_behind() {
        let shelf = shelf();
        drop(shelf.begin(1));
        shelf.begin(1).keep(None);
        assert!(shelf.fills().is_empty());
    }

    #[test]
    fn there_is_no_more_than_the_capacity() {
        let shelf: Shelf<u32, u32> = Shelf::new(100);
        for n in 0..10_000 {
            shelf.begin(n).keep(Some(Arc::new(n)));
        }
        assert!(shelf.len() <= 100, "{}", shelf.len());
    }
}
