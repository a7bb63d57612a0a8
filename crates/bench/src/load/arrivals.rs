//! Waits until all events have arrived, and counts those of sockets that only count.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use tokio::time::{sleep, timeout};

use crate::ws::CountingSocket;

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until a count has reached the expected range. Returns an error if that takes longer than
/// the deadline, or if the count is beyond the range: an event was lost or repeated.
pub(super) async fn wait_for(
    count: &AtomicU64,
    expected: RangeInclusive<u64>,
    deadline: Duration,
) -> anyhow::Result<()> {
    let arriving = async {
        while count.load(Ordering::Relaxed) < *expected.start() {
            sleep(POLL_INTERVAL).await;
        }
    };
    let _ = timeout(deadline, arriving).await;
    let count = count.load(Ordering::Relaxed);
    ensure!(expected.contains(&count), "{count} deliveries instead of {expected:?}");
    Ok(())
}

/// Passes the number of texts that have arrived to a function, until the connection ends.
pub(super) async fn count_texts(mut socket: CountingSocket, add: impl Fn(u64)) -> anyhow::Error {
    loop {
        match socket.read().await {
            Ok(0) => {}
            Ok(texts) => add(texts),
            Err(error) => return error.context("a subscriber"),
        }
    }
}

/// Counts the texts of a socket until the connection ends.
pub(super) async fn count_into(socket: CountingSocket, count: Arc<AtomicU64>) -> anyhow::Error {
    count_texts(socket, |texts| {
        count.fetch_add(texts, Ordering::Relaxed);
    })
    .await
}
