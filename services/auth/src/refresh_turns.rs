//! Refreshes of one token, one after the other: those that wait for the lock of its session would
//! hold connections to the database that others need.

use tokio::sync::{Mutex, MutexGuard};

use crate::refresh_token::TokenHash;

/// One turn for each value of the first byte of a hash. A flood of one token makes one in 256 other
/// refreshes wait.
pub(crate) struct RefreshTurns([Mutex<()>; 256]);

impl Default for RefreshTurns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl RefreshTurns {
    /// Waits until nobody else has the turn of this token. It ends when the guard is dropped, as it
    /// is when the caller has gone.
    pub(crate) async fn turn(&self, hash: &TokenHash) -> MutexGuard<'_, ()> {
        self.0[usize::from(hash.0[0])].lock().await
    }
}
