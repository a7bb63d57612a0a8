//! Counts open things by key, such as sockets by address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use crate::lock::lock;

/// A number of permits for each key. Only keys that hold a permit take memory.
pub(super) struct Permits<K> {
    max: u32,
    taken: Arc<Taken<K>>,
}

type Taken<K> = Mutex<HashMap<K, u32>>;

/// A permit, given back when it is dropped.
pub(crate) struct Permit<K: Copy + Eq + Hash> {
    key: K,
    taken: Arc<Taken<K>>,
}

impl<K: Copy + Eq + Hash> Permits<K> {
    pub(super) fn new(max: u32) -> Self {
        Self { max, taken: Arc::default() }
    }

    /// Takes a permit, if this key has one left.
    pub(super) fn take(&self, key: K) -> Option<Permit<K>> {
        let mut taken = lock(&self.taken);
        let count = taken.entry(key).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Permit { key, taken: self.taken.clone() })
    }
}

impl<K: Copy + Eq + Hash> Drop for Permit<K> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = lock(&self.taken).entry(self.key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
#[path = "tests/permits.rs"]
mod tests;
