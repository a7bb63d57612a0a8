//! Waiting for a condition.

use std::future::Future;
use std::panic::Location;
use std::time::{Duration, Instant};

use tokio::time::sleep;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Waits until a condition holds.
///
/// # Panics
/// If it does not hold within `timeout`. The message has `what` and the place of the call.
#[track_caller]
pub fn eventually<F: Future<Output = bool>>(
    timeout: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let begin = Instant::now();
        while !condition().await {
            assert!(begin.elapsed() < timeout, "not within {timeout:?}: {what} ({caller})");
            sleep(POLL_INTERVAL).await;
        }
    }
}
