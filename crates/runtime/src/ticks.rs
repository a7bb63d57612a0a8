//! Ticks for periodic work.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// Returns ticks, of which the first is due at once. Work that takes longer than a period delays
/// the later ticks: they do not come in a burst.
pub fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
