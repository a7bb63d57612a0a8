//! The memory of a message that a client has begun and not finished.

use tokio::time::Instant;

use crate::ws::send_budget::{Charge, SendBudget};

/// Counts against the budget like frames that wait for the client.
pub(super) struct Unfinished {
    pub(super) bytes: usize,
    charge: Charge,
    /// When the message began. None if there is no unfinished message.
    since: Option<Instant>,
}

impl Unfinished {
    pub(super) fn new(send_budget: &SendBudget) -> Self {
        Self { bytes: 0, charge: send_budget.charge(), since: None }
    }

    pub(super) fn set(&mut self, bytes: usize) {
        self.charge.add(bytes);
        self.charge.remove(self.bytes);
        self.bytes = bytes;
        if bytes == 0 {
            self.since = None;
        } else {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// Returns the bytes of a message that began before this time, else 0.
    pub(super) fn bytes_since(&self, since: Instant) -> usize {
        if self.since.is_some_and(|began| began <= since) { self.bytes } else { 0 }
    }
}
