//! The result of a check.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rule::Rule;

/// Examples that are kept of the violations of one rule.
const MAX_EXAMPLES: usize = 5;

/// The violations of a run.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    findings: BTreeMap<Rule, Finding>,
    /// One for each fault.
    pub recoveries: Vec<Recovery>,
}

/// The violations of one rule.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    /// Their number.
    pub count: usize,
    /// The first few.
    pub examples: Vec<String>,
}

/// The time after one fault.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The name of the fault.
    pub fault: String,
    /// How long the fault lasted.
    pub duration: Duration,
    /// Time from its end until the last subscriber got its first event that was committed since.
    /// `None` if the next fault began earlier.
    pub live_after: Option<Duration>,
}

impl Verdict {
    /// True if no promise was broken.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The violations of a rule.
    pub fn finding(&self, rule: Rule) -> Finding {
        self.findings.get(&rule).cloned().unwrap_or_default()
    }

    /// The rules that were broken, in the order of the report.
    pub fn broken_rules(&self) -> Vec<Rule> {
        self.findings.keys().copied().collect()
    }

    /// Adds a violation.
    pub(super) fn add(&mut self, rule: Rule, example: impl FnOnce() -> String) {
        let finding = self.findings.entry(rule).or_default();
        finding.count += 1;
        if finding.examples.len() < MAX_EXAMPLES {
            finding.examples.push(example());
        }
    }
}
