//! Counting what is open, by whom it was opened.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places of which each key has so many. Only keys that hold one are remembered.
#[derive(Debug)]
pub(super) struct Places<K> {
    most: u32,
    taken: Arc<Taken<K>>,
}

type Taken<K> = Mutex<HashMap<K, u32>>;

/// A place, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place<K: Copy + Eq + Hash> {
    key: K,
    taken: Arc<Taken<K>>,
}

impl<K: Copy + Eq + Hash> Places<K> {
    pub(super) fn new(most: u32) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// Takes a place, if this key has one left.
    pub(super) fn take(&self, key: K) -> Option<Place<K>> {
        let mut taken = lock(&self.taken);
        let count = taken.entry(key).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { key, taken: self.taken.clone() })
    }
}

impl<K: Copy + Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = lock(&self.taken).entry(self.key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

fn lock<K>(taken: &Taken<K>) -> MutexGuard<'_, HashMap<K, u32>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_places_and_gets_them_back() {
        let places = Places::new(2);
        let first = places.take("a").unwrap();
        let _second = places.take("a").unwrap();
        assert!(places.take("a").is_none());
        assert!(places.take("b").is_some());
        drop(first);
        assert!(places.take("a").is_some());
    }

    #[test]
    fn nobody_without_a_place_is_remembered() {
        let places = Places::new(1);
        let place = places.take("a");
        drop((places.take("a"), places.take("b")));
        assert_eq!(lock(&places.taken).len(), 1);
        drop(place);
        assert!(lock(&places.taken).is_empty());
    }
}
