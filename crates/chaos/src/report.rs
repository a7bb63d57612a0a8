//! The report of a run, in Markdown.

use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::checker::{LIMIT, MEMORY_ALLOWANCE, Rule, SLACK, STEEPEST_SLOPE, Verdict};
use crate::history::{Footprint, History, Outcome};
use crate::latency::{Latencies, deliveries};
use crate::plan::Plan;

/// The plot beside the report.
pub(crate) const PLOT: &str = "latency.svg";

const MIB: u64 = 1 << 20;

/// What a report tells of.
pub(crate) struct Report<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) is_quick: bool,
    pub(crate) history: &'a History,
    pub(crate) verdict: &'a Verdict,
    pub(crate) duration: Duration,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_summary(f)?;
        self.write_promises(f)?;
        writeln!(f, "\n![Delivery latency over time, with the faults marked]({PLOT})")?;
        self.write_faults(f)?;
        self.write_growth(f)?;
        self.write_examples(f)
    }
}

impl Report<'_> {
    fn write_summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, history, .. } = self;
        let acked = history
            .sends
            .iter()
            .filter(|send| matches!(send.outcome, Outcome::Acked { .. }))
            .count();
        let changes = history.sends.iter().filter(|send| send.change.is_some()).count();
        let events: usize = history.views.iter().map(|view| view.entries.len()).sum();
        let latencies: Latencies = deliveries(&history.views).map(|(_, took)| took).collect();
        let outcome = if self.verdict.is_clean() {
            "every promise was kept"
        } else {
            "**a promise was broken**"
        };
        writeln!(f, "# Consistency under faults, seed {}: {outcome}\n", plan.seed)?;
        writeln!(f, "| | |\n| --- | ---: |")?;
        writeln!(f, "| clients | {} |", 2 * plan.scale.users)?;
        writeln!(f, "| rooms | {} |", plan.scale.rooms)?;
        let homes_agree = if plan.homes_agree { "yes" } else { "no" };
        writeln!(f, "| gateways agree on the homes of rooms | {homes_agree} |")?;
        writeln!(f, "| duration | {:.0} s |", self.duration.as_secs_f64())?;
        writeln!(f, "| messages acknowledged | {acked} |")?;
        writeln!(f, "| edits and deletions tried | {changes} |")?;
        writeln!(f, "| events delivered | {events} |")?;
        writeln!(
            f,
            "| delivery, median, 99 %, slowest | {} |",
            latencies.to_string().replace(" |", ",")
        )?;
        writeln!(f, "| contacts made | {} |", history.contacts.len())?;
        writeln!(f, "| members removed | {} |", history.removals.len())?;
        writeln!(f, "| faults | {} |", history.faults.len())?;
        let quick = if self.is_quick { " QUICK=1" } else { "" };
        writeln!(f, "\nThe same schedule again: `make chaos SEED={}{quick}`.", plan.seed)
    }

    fn write_promises(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n| what must not be | found |\n| --- | ---: |")?;
        for rule in Rule::ALL {
            let count = self.verdict.of(rule).count;
            let emphasis = if count > 0 { "**" } else { "" };
            writeln!(f, "| {} | {emphasis}{count}{emphasis} |", rule.description())?;
        }
        Ok(())
    }

    fn write_faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n| | fault | lasted | everybody live again after |\n| ---: | --- | ---: | ---: |"
        )?;
        for (index, recovery) in self.verdict.recoveries.iter().enumerate() {
            let live_after = match recovery.live_after {
                Some(time) if time > LIMIT => format!("**{:.1} s**", time.as_secs_f64()),
                Some(time) => format!("{:.1} s", time.as_secs_f64()),
                None => "**not before the next fault**".to_owned(),
            };
            let lasted = recovery.lasted.as_secs_f64();
            writeln!(f, "| {} | {} | {lasted:.1} s | {live_after} |", index + 1, recovery.fault)?;
        }
        Ok(())
    }

    fn write_growth(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nWhat each process held when idle, at most, and at the end. At the end it may hold {} tasks and {} descriptors more than \
             when idle, and half as much or {} MiB more memory than soon after its start; nor may memory have grown steadily by more \
             than {} MiB a minute.\n",
            SLACK.tasks,
            SLACK.descriptors,
            MEMORY_ALLOWANCE / MIB,
            STEEPEST_SLOPE / MIB
        )?;
        writeln!(f, "| process | restarts | tasks | descriptors | memory, MiB |")?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: |")?;
        for footprint in &self.history.footprints {
            write_footprint(f, footprint)?;
        }
        Ok(())
    }

    fn write_examples(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in Rule::ALL {
            let found = self.verdict.of(rule);
            if found.count > 0 {
                writeln!(f, "\n## {} {}\n", found.count, rule.description())?;
                for example in &found.examples {
                    writeln!(f, "- {example}")?;
                }
            }
        }
        Ok(())
    }
}

fn write_footprint(f: &mut fmt::Formatter<'_>, footprint: &Footprint) -> fmt::Result {
    let restarts = footprint.incarnations().count().saturating_sub(1);
    write!(f, "| {} | {restarts} |", footprint.process)?;
    let stages = [footprint.idle(), Some(footprint.peak()), footprint.end()];
    for figure in [0, 1, 2] {
        let mut cell = String::new();
        for (index, usage) in stages.iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            match usage.map(|usage| [usage.tasks, usage.descriptors, usage.memory / MIB][figure]) {
                Some(value) => write!(cell, "{separator}{value}")?,
                None => write!(cell, "{separator}–")?,
            }
        }
        write!(f, " {cell} |")?;
    }
    writeln!(f)
}
