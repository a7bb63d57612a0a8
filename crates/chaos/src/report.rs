//! The report of a run, in Markdown.

use std::fmt;
use std::time::Duration;

use crate::checker::{
    MAX_SLOPE, MEMORY_ALLOWANCE, RECOVERY_TIMEOUT, Recovery, Rule, SLACK, Verdict,
};
use crate::history::{Footprint, History, Send, SendResult, Usage};
use crate::latency;
use crate::plan::Plan;

/// The file name of the plot, beside the report.
pub const PLOT: &str = "latency.svg";

const MIB: u64 = 1 << 20;

/// Everything that a report shows.
pub struct Report<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// True for `QUICK=1`.
    pub is_quick: bool,
    /// What was recorded.
    pub history: &'a History,
    /// What the checker found.
    pub verdict: &'a Verdict,
    /// The time of the whole run.
    pub duration: Duration,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_summary(f)?;
        write!(f, "{}", Findings { verdict: self.verdict, rules: &Rule::ALL })?;
        writeln!(f, "\n![Delivery latency over time, with the faults marked]({PLOT})")?;
        self.write_faults(f)?;
        self.write_resources(f)?;
        self.write_examples(f)
    }
}

impl Report<'_> {
    fn write_summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, history, .. } = self;
        let is_acknowledged = |send: &&Send| matches!(send.result, SendResult::Acknowledged { .. });
        let acknowledged = history.sends.iter().filter(is_acknowledged).count();
        let changes = history.sends.iter().filter(|send| send.change.is_some()).count();
        let events: usize = history.views.iter().map(|view| view.entries.len()).sum();
        let latency = latency::summary(&latency::latencies(&history.views), ", ");
        let is_clean = self.verdict.is_clean();
        let result = if is_clean { "every promise was kept" } else { "**a promise was broken**" };
        let owners_agree = if plan.owners_agree { "yes" } else { "no" };
        writeln!(f, "# Consistency under faults, seed {}: {result}\n", plan.seed)?;
        writeln!(f, "| | |\n| --- | ---: |")?;
        let rows = [
            ("clients", (2 * plan.scale.users).to_string()),
            ("rooms", plan.scale.rooms.to_string()),
            ("gateways agree on owner replicas", owners_agree.to_owned()),
            ("duration", format!("{:.0} s", self.duration.as_secs_f64())),
            ("messages acknowledged", acknowledged.to_string()),
            ("edits and deletions tried", changes.to_string()),
            ("events delivered", events.to_string()),
            ("delivery, median, 99 %, slowest", latency),
            ("contacts made", history.contacts.len().to_string()),
            ("members removed", history.removals.len().to_string()),
            ("sessions ended", history.ended_sessions.len().to_string()),
            ("faults", history.faults.len().to_string()),
        ];
        rows.iter().try_for_each(|(name, value)| writeln!(f, "| {name} | {value} |"))?;
        let quick = if self.is_quick { " QUICK=1" } else { "" };
        writeln!(f, "\nTo repeat this schedule: `make chaos SEED={}{quick}`.", plan.seed)
    }

    fn write_faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n| | fault | lasted | all subscribers live again after |")?;
        writeln!(f, "| ---: | --- | ---: | ---: |")?;
        for (index, recovery) in self.verdict.recoveries.iter().enumerate() {
            let Recovery { fault, duration, live_after } = recovery;
            let live_after = match live_after.map(|time| (time, time.as_secs_f64())) {
                Some((time, seconds)) if time > RECOVERY_TIMEOUT => format!("**{seconds:.1} s**"),
                Some((_, seconds)) => format!("{seconds:.1} s"),
                None => "**not before the next fault**".to_owned(),
            };
            let lasted = duration.as_secs_f64();
            writeln!(f, "| {} | {fault} | {lasted:.1} s | {live_after} |", index + 1)?;
        }
        Ok(())
    }

    fn write_resources(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nResources of each process: when idle, at most, at the end. At the end a process may \
             hold {} tasks and {} descriptors more than when idle, and half as much or {} MiB more \
             memory than soon after its start. Memory may not grow steadily by more than {} MiB a \
             minute.\n",
            SLACK.tasks,
            SLACK.descriptors,
            MEMORY_ALLOWANCE / MIB,
            MAX_SLOPE / MIB
        )?;
        writeln!(f, "| process | restarts | tasks | descriptors | memory, MiB |")?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: |")?;
        self.history.footprints.iter().try_for_each(|footprint| write_footprint(f, footprint))
    }

    fn write_examples(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rule, description) in Rule::ALL {
            let finding = self.verdict.finding(rule);
            if finding.count > 0 {
                writeln!(f, "\n## {} {description}\n", finding.count)?;
                for example in &finding.examples {
                    writeln!(f, "- {example}")?;
                }
            }
        }
        Ok(())
    }
}

/// The table of violations.
pub(crate) struct Findings<'a> {
    pub(crate) verdict: &'a Verdict,
    pub(crate) rules: &'a [(Rule, &'static str)],
}

impl fmt::Display for Findings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n| violation | found |\n| --- | ---: |")?;
        for (rule, description) in self.rules {
            let count = self.verdict.finding(*rule).count;
            let emphasis = if count > 0 { "**" } else { "" };
            writeln!(f, "| {description} | {emphasis}{count}{emphasis} |")?;
        }
        Ok(())
    }
}

fn write_footprint(f: &mut fmt::Formatter<'_>, footprint: &Footprint) -> fmt::Result {
    let restarts = footprint.incarnations().count().saturating_sub(1);
    write!(f, "| {} | {restarts} |", footprint.process)?;
    let figures: [fn(Usage) -> u64; 3] =
        [|usage| usage.tasks, |usage| usage.descriptors, |usage| usage.memory / MIB];
    for figure in figures {
        let stages = [footprint.idle(), Some(footprint.peak()), footprint.end()];
        let cells =
            stages.map(|usage| usage.map_or("–".to_owned(), |usage| figure(usage).to_string()));
        write!(f, " {} |", cells.join(", "))?;
    }
    writeln!(f)
}
