//! The report of a run, in Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use crate::history::{Entry, History, Outcome};
use crate::judge::{LIMIT, Rule, Verdict};
use crate::plan::Plan;

/// Writes the report.
pub(crate) fn markdown(plan: &Plan, history: &History, verdict: &Verdict, duration: Duration) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write_summary(&mut text, plan, history, duration);
    let _ = write_promises(&mut text, verdict);
    let _ = write_faults(&mut text, verdict);
    let _ = write_examples(&mut text, verdict);
    text
}

fn write_summary(text: &mut String, plan: &Plan, history: &History, duration: Duration) -> std::fmt::Result {
    let acked = history.sends.iter().filter(|send| matches!(send.outcome, Outcome::Acked { .. })).count();
    let changes = history.sends.iter().filter(|send| send.change.is_some()).count();
    let events: usize = history.views.iter().map(|view| view.entries.len()).sum();
    writeln!(text, "# Consistency under faults, seed {}\n", plan.seed)?;
    writeln!(text, "| | |\n| --- | ---: |")?;
    writeln!(text, "| clients | {} |", 2 * plan.scale.users)?;
    writeln!(text, "| rooms | {} |", plan.scale.rooms)?;
    writeln!(text, "| duration | {:.0} s |", duration.as_secs_f64())?;
    writeln!(text, "| messages acknowledged | {acked} |")?;
    writeln!(text, "| edits and deletions tried | {changes} |")?;
    writeln!(text, "| events delivered | {events} |")?;
    writeln!(text, "| delivery, median, 99 %, slowest | {} |", latencies(history))?;
    writeln!(text, "| contacts made | {} |", history.contacts.len())?;
    writeln!(text, "| members removed | {} |", history.removals.len())?;
    writeln!(text, "| faults | {} |", history.faults.len())
}

/// From the time a message bears to its arrival, catching up included.
fn latencies(history: &History) -> String {
    let entries = history.views.iter().flat_map(|view| &view.entries);
    let mut times: Vec<i64> = entries
        .filter_map(|entry| match entry {
            Entry::Event(event) => event.committed_at().map(|at| event.delivered_at - at),
            Entry::Resync { .. } => None,
        })
        .collect();
    times.sort_unstable();
    let Some(last) = times.len().checked_sub(1) else { return "nothing".to_owned() };
    let show = |index: usize| format!("{} ms", times[index] / 1_000);
    format!("{}, {}, {}", show(last / 2), show(last * 99 / 100), show(last))
}

fn write_promises(text: &mut String, verdict: &Verdict) -> std::fmt::Result {
    writeln!(text, "\n| what must not be | found |\n| --- | ---: |")?;
    for rule in Rule::ALL {
        writeln!(text, "| {} | {} |", rule.description(), verdict.of(rule).count)?;
    }
    Ok(())
}

fn write_faults(text: &mut String, verdict: &Verdict) -> std::fmt::Result {
    writeln!(text, "\n| fault | lasted | everybody live again after |\n| --- | ---: | ---: |")?;
    for recovery in &verdict.recoveries {
        let live_after = match recovery.live_after {
            Some(time) if time > LIMIT => format!("**{:.1} s**", time.as_secs_f64()),
            Some(time) => format!("{:.1} s", time.as_secs_f64()),
            None => "**not before the next fault**".to_owned(),
        };
        writeln!(text, "| {} | {:.1} s | {live_after} |", recovery.fault, recovery.lasted.as_secs_f64())?;
    }
    Ok(())
}

fn write_examples(text: &mut String, verdict: &Verdict) -> std::fmt::Result {
    for rule in Rule::ALL {
        let found = verdict.of(rule);
        if found.count > 0 {
            writeln!(text, "\n## {} {}\n", found.count, rule.description())?;
            for example in &found.examples {
                writeln!(text, "- {example}")?;
            }
        }
    }
    Ok(())
}
