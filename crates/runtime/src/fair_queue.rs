//! A queue that serves keys in turn, such as clients or users, so that the one with the most items
//! delays the others least.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Items in order of arrival within a key, and one item of each key in turn between keys. Bounded
/// for each key and in all. Only keys with waiting items take memory.
///
/// An item waits for at most one item of each other key before it becomes the first of its own.
/// Every operation takes constant time, except where it says otherwise.
#[derive(Debug)]
pub struct FairQueue<K, T> {
    max_per_key: usize,
    max_in_all: usize,
    items: HashMap<K, VecDeque<T>>,
    /// The keys in `items`, in the order of their turns.
    turns: VecDeque<K>,
    last_served: Option<K>,
    len: usize,
}

/// Why an item was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The key has as many items as a key may have.
    Key,
    /// The queue has as many items as all keys together may have.
    Queue,
}

impl<K: Clone + Eq + Hash, T> FairQueue<K, T> {
    /// Makes an empty queue with these bounds.
    pub fn new(max_per_key: usize, max_in_all: usize) -> Self {
        Self {
            max_per_key,
            max_in_all,
            items: HashMap::new(),
            turns: VecDeque::new(),
            last_served: None,
            len: 0,
        }
    }

    /// Queues an item, unless a bound is reached.
    pub fn push(&mut self, key: K, item: T) -> Result<(), Full> {
        if self.len_of(&key) >= self.max_per_key {
            return Err(Full::Key);
        }
        if self.len >= self.max_in_all {
            return Err(Full::Queue);
        }
        let items = self.items.entry(key.clone()).or_default();
        items.push_back(item);
        self.len += 1;
        if items.len() == 1 {
            self.add_turn(key);
        }
        Ok(())
    }

    /// Queues an item. If the queue is full, the newest item of the key with the most items makes
    /// room for it and is returned, provided that the other key still has as many items as this one
    /// afterwards. Takes time in proportion to the number of keys if the queue is full.
    pub fn push_or_displace(&mut self, key: K, item: T) -> Result<Option<(K, T)>, Full> {
        let is_full = self.len >= self.max_in_all;
        let displaced = if is_full { self.displace(self.len_of(&key) + 2) } else { None };
        self.push(key, item)?;
        Ok(displaced)
    }

    /// Takes the next item: the oldest one of the key whose turn it is.
    pub fn pop(&mut self) -> Option<(K, T)> {
        let key = self.turns.pop_front()?;
        let items = self.items.get_mut(&key)?;
        let item = items.pop_front()?;
        if items.is_empty() {
            self.items.remove(&key);
        } else {
            self.turns.push_back(key.clone());
        }
        self.len -= 1;
        self.last_served = Some(key.clone());
        Some((key, item))
    }

    /// Drops the items of a key for which `keep` returns false. Takes time in proportion to their
    /// number, and to the number of keys if none is left.
    pub fn retain(&mut self, key: &K, keep: impl FnMut(&T) -> bool) {
        let Some(items) = self.items.get_mut(key) else { return };
        let before = items.len();
        items.retain(keep);
        self.len -= before - items.len();
        if items.is_empty() {
            self.items.remove(key);
            self.turns.retain(|turn| turn != key);
        }
    }

    /// The number of items of all keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no item waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of items of a key.
    pub fn len_of(&self, key: &K) -> usize {
        self.items.get(key).map_or(0, VecDeque::len)
    }

    /// Appends the turn of a key that had no items. A key that is alone and was just served lets it
    /// go first.
    fn add_turn(&mut self, key: K) {
        if self.turns.front().is_some_and(|first| self.last_served.as_ref() == Some(first)) {
            self.turns.push_front(key);
        } else {
            self.turns.push_back(key);
        }
    }

    /// Removes the newest item of the key with the most items, if these are at least `min`, which
    /// is at least 2.
    fn displace(&mut self, min: usize) -> Option<(K, T)> {
        let longest = self.items.iter_mut().max_by_key(|(_, items)| items.len());
        let (key, items) = longest.filter(|(_, items)| items.len() >= min)?;
        let newest = items.pop_back()?;
        self.len -= 1;
        Some((key.clone(), newest))
    }
}

#[cfg(test)]
#[path = "tests/fair_queue.rs"]
mod tests;
