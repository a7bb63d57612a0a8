//! Replaces connections that an error has shown to be of no more use.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::is_outdated_connection;

/// When an error last showed that all connections made until then are of no more use. There is one
/// time for the process, because all of its pools lead to the same server.
static OUTDATED_SINCE: Mutex<Option<Instant>> = Mutex::new(None);

/// Looks at the error of a statement. If it shows that the connection leads to a server that has
/// become read-only, or that a table has changed under a prepared statement, then all connections
/// that exist now are closed instead of being used again.
pub fn note_error(error: &sqlx::Error) {
    if is_outdated_connection(error) {
        tracing::warn!(
            error = crate::error::chain(error),
            "replacing the connections to the database"
        );
        *OUTDATED_SINCE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// Returns true if a connection of this age must not be used again.
pub(super) fn is_outdated(age: Duration) -> bool {
    let since = *OUTDATED_SINCE.lock().unwrap_or_else(PoisonError::into_inner);
    since.is_some_and(|since| age >= since.elapsed())
}
