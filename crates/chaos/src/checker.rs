//! The verdict: which promises a recorded history breaks. Pure: history in, verdict out.
//!
//! A number (`seq`) may rightly be missing for a subscriber when its change was overtaken while it
//! was away, so completeness is judged by state: applied in order, the events must give what the
//! store has.

mod conduct;
mod delivery;
mod recovery;
mod resources;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::history::History;

pub(crate) use recovery::{LIMIT, Recovery};
pub(crate) use resources::{MEMORY_ALLOWANCE, SLACK, STEEPEST_SLOPE, has_returned};

/// Examples kept of each violation.
const EXAMPLES: usize = 5;

/// A promise that can be broken; a row of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    AckedLost,
    StoredTwice,
    HoleInSeq,
    SeenTwice,
    OutOfOrder,
    NotSeen,
    OrderDiffers,
    SenderReordered,
    AfterRemoval,
    SystemRooms,
    Unanswered,
    LateRecovery,
    BadClients,
    Growth,
}

impl Rule {
    /// In the order of the report.
    pub(crate) const ALL: [Self; 14] = [
        Self::AckedLost,
        Self::StoredTwice,
        Self::HoleInSeq,
        Self::SeenTwice,
        Self::OutOfOrder,
        Self::NotSeen,
        Self::OrderDiffers,
        Self::SenderReordered,
        Self::AfterRemoval,
        Self::SystemRooms,
        Self::Unanswered,
        Self::LateRecovery,
        Self::BadClients,
        Self::Growth,
    ];

    /// What a breach of it is.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::AckedLost => "acknowledged messages, edits and deletions missing from history",
            Self::StoredTwice => "messages sent once and stored twice",
            Self::HoleInSeq => "holes in `seq`",
            Self::SeenTwice => "events that a subscriber saw twice",
            Self::OutOfOrder => "events that a subscriber saw out of order",
            Self::NotSeen => "changes that a subscriber did not see",
            Self::OrderDiffers => "numbers that mean different messages to two observers",
            Self::SenderReordered => "messages of one sender stored in another order than sent",
            Self::AfterRemoval => {
                "events committed over 1 s after a removal and delivered to the one removed"
            }
            Self::SystemRooms => "contacts without exactly one system room",
            Self::Unanswered => {
                "messages refused to a member, or never answered although all faults were over"
            }
            Self::LateRecovery => "faults after which a subscriber was not live again within 5 s",
            Self::BadClients => "bad clients that were answered otherwise than promised",
            Self::Growth => {
                "tasks, connections or memory that a process kept, or that kept growing"
            }
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    found: BTreeMap<Rule, Found>,
    /// One for each fault.
    pub(crate) recoveries: Vec<Recovery>,
}

/// The breaches of one rule.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) count: usize,
    /// The first few, each a sentence.
    pub(crate) examples: Vec<String>,
}

impl Verdict {
    /// Whether no promise was broken.
    pub(crate) fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    /// The breaches of a rule.
    pub(crate) fn of(&self, rule: Rule) -> Found {
        self.found.get(&rule).cloned().unwrap_or_default()
    }

    fn report(&mut self, rule: Rule, example: impl FnOnce() -> String) {
        let found = self.found.entry(rule).or_default();
        found.count += 1;
        if found.examples.len() < EXAMPLES {
            found.examples.push(example());
        }
    }
}

/// Judges a history.
pub(crate) fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    storage::judge(history, &mut verdict);
    delivery::judge(history, &mut verdict);
    recovery::judge(history, &mut verdict);
    conduct::judge(history, &mut verdict);
    resources::judge(history, &mut verdict);
    verdict
}
