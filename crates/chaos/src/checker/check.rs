//! Applies all rules to a history.

use super::rule::Rule;
use super::verdict::Verdict;
use super::{delivery, recovery, resources, sessions, storage};
use crate::history::History;

/// Checks a history.
pub fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    storage::check(history, &mut verdict);
    delivery::check(history, &mut verdict);
    recovery::check(history, &mut verdict);
    sessions::check(history, &mut verdict);
    check_misbehaving_clients(history, &mut verdict);
    resources::check(history, &mut verdict);
    verdict
}

/// Counts the breaches. The misbehaving clients themselves have found them.
fn check_misbehaving_clients(history: &History, verdict: &mut Verdict) {
    for fault in &history.faults {
        for breach in &fault.breaches {
            verdict.add(Rule::MisbehavingClients, || format!("{}: {breach}", fault.name));
        }
    }
}
