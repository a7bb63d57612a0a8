//! Measurements of single promises, each under the one condition that is hardest for it. Each makes
//! a small report of its own.

mod redis_away;
pub(crate) mod remote_hosts;
mod slow_readers;
mod workload;

use std::fmt::{self, Write as _};
use std::path::Path;

use clap::ValueEnum;

use crate::checker::{Rule, Verdict};
use crate::progress::Display;
use crate::run;

/// What is judged in every scenario.
const OF_MESSAGES: [Rule; 6] = [
    Rule::AckedLost,
    Rule::StoredTwice,
    Rule::HoleInSeq,
    Rule::SeenTwice,
    Rule::OutOfOrder,
    Rule::NotSeen,
];

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// A thousand sockets that never read, and a hundred that must not notice.
    SlowReaders,
    /// Redis down for a minute, and paused for a minute.
    RedisAway,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Measured {
    /// In Markdown.
    pub(crate) report: String,
    pub(crate) is_kept: bool,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SlowReaders => "slow-readers",
            Self::RedisAway => "redis-away",
        })
    }
}

/// Starts what the scenario needs, measures, and keeps the logs.
pub(crate) async fn measure(
    scenario: Scenario,
    seed: u64,
    output: &Path,
    display: &Display,
) -> anyhow::Result<Measured> {
    match scenario {
        Scenario::SlowReaders => {
            let stack = slow_readers::start().await?;
            let measured = slow_readers::measure(&stack, seed, display).await;
            stack.keep_logs(&output.join("logs"))?;
            measured
        }
        Scenario::RedisAway => {
            let arena = run::start(false).await?;
            let measured = redis_away::measure(&arena, seed, display).await;
            arena.stack.keep_logs(&output.join("logs"))?;
            measured
        }
    }
}

/// What the judge says of what was sent and seen, in rows that begin a table of their own.
fn findings(verdict: &Verdict) -> Result<String, fmt::Error> {
    let mut text = String::from("\n| what must not be | found |\n| --- | ---: |\n");
    for rule in OF_MESSAGES {
        let found = verdict.of(rule);
        writeln!(text, "| {} | {} |", rule.description(), found.count)?;
    }
    for example in Rule::ALL.into_iter().flat_map(|rule| verdict.of(rule).examples) {
        writeln!(text, "\n- {example}")?;
    }
    Ok(text)
}
