//! Sheds slow consumers while too many bytes wait for all clients. A client whose own queue is full
//! is shed by the queue itself.

use tokio::time::Instant;

use crate::ws::send_budget::SendBudget;
use crate::ws::send_queue::SendQueue;

/// Closes connections whose clients have read nothing since `stalled_since`, if the budget is
/// exceeded. It begins with the longest queues. A queue below its share of the budget is
/// spared.
pub(crate) fn shed_slow_consumers<'a>(
    send_budget: &SendBudget,
    queues: impl ExactSizeIterator<Item = &'a SendQueue>,
    stalled_since: Instant,
) {
    if send_budget.bytes() <= send_budget.max_bytes() {
        return;
    }
    let equal_share = send_budget.max_bytes() / queues.len().max(1);
    let spared = equal_share.min(send_budget.max_bytes_each() / 16);
    let stalled: Vec<(&SendQueue, usize)> = queues
        .map(|send_queue| (send_queue, send_queue.stalled_bytes(stalled_since)))
        .filter(|(_, bytes)| *bytes > spared)
        .collect();
    let longest = stalled.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    for (send_queue, _) in stalled.iter().filter(|(_, bytes)| *bytes >= longest / 2) {
        send_queue.shed();
    }
}

#[cfg(test)]
#[path = "tests/shed.rs"]
mod tests;
