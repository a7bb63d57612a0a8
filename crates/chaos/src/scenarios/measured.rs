//! The result of a scenario.

use crate::checker::{Rule, Verdict};
use crate::report::Findings;

/// The first rules are those of messages. They are checked in every scenario.
const MESSAGE_RULES: usize = 6;

/// The result of a scenario.
#[derive(Debug)]
pub struct Measured {
    /// In Markdown.
    pub report: String,
    /// True if the promise was kept.
    pub is_kept: bool,
}

/// Returns the table of violations, and their examples.
pub(super) fn findings(verdict: &Verdict) -> String {
    let mut text = Findings { verdict, rules: &Rule::ALL[..MESSAGE_RULES] }.to_string();
    for (rule, _) in Rule::ALL {
        for example in verdict.finding(rule).examples {
            text.push_str(&format!("\n- {example}\n"));
        }
    }
    text
}
