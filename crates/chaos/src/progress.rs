//! Shows how far the clients are while time passes.

use std::time::{Duration, Instant};

use parlance_devstack::Progress;
use tokio::time::sleep;

use crate::clients::Counters;

const REFRESH_INTERVAL: Duration = Duration::from_millis(200);

/// Waits for a duration and shows the counters meanwhile.
pub(crate) async fn watch(progress: &Progress, duration: Duration, counters: &Counters) {
    let end = Instant::now() + duration;
    while Instant::now() < end {
        progress.status(|| counters.to_string());
        sleep(REFRESH_INTERVAL.min(end.saturating_duration_since(Instant::now()))).await;
    }
}
