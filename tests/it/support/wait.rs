//! Waiting for what must come, and not longer.

use std::time::{Duration, Instant};

/// Asks again and again until the answer is yes; panics with `what` after `limit`.
#[track_caller]
pub(crate) fn eventually<F: Future<Output = bool>>(
    limit: Duration,
    what: &str,
    mut is_so: impl FnMut() -> F,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let begin = Instant::now();
        while !is_so().await {
            assert!(begin.elapsed() < limit, "not within {limit:?}: {what} ({caller})");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
