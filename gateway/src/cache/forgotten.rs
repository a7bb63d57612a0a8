//! Which users were forgotten while they were being looked up.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

use parlance_core::UserId;

/// Users are counted in so many parts, so that a user who changes its profile again and again keeps
/// few others out of the cache.
const PARTS: usize = 256;

/// Counts how often users were forgotten.
#[derive(Debug)]
pub(super) struct Forgotten([AtomicU64; PARTS]);

/// The counts at the beginning of a look-up.
pub(super) struct Snapshot(Box<[u64]>);

impl Forgotten {
    pub(super) fn new() -> Self {
        Self(array::from_fn(|_| AtomicU64::new(0)))
    }

    pub(super) fn add(&self, id: UserId) {
        self.0[part(id)].fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn add_all(&self) {
        for count in &self.0 {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot(self.0.iter().map(|count| count.load(Ordering::SeqCst)).collect())
    }

    /// True if the user may have been forgotten since then.
    pub(super) fn may_include(&self, id: UserId, since: &Snapshot) -> bool {
        self.0[part(id)].load(Ordering::SeqCst) != since.0[part(id)]
    }
}

fn part(id: UserId) -> usize {
    id.get().rem_euclid(PARTS as i64) as usize
}
