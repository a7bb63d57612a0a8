//! A time limit for database work, waiting for a connection included.

use std::io;
use std::time::Duration;

use parlance_runtime::postgres;

/// Runs database work. After the timeout it fails like a broken connection does: `unavailable`. An
/// error that makes connections useless has them replaced.
pub(crate) async fn with_timeout<T>(
    timeout: Duration,
    work: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    tokio::time::timeout(timeout, work)
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
        .inspect_err(postgres::note_error)
}
