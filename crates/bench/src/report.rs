//! The table of a run, in Markdown, and all of it as JSON.

use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::Serialize;

use crate::machine::Machine;
use crate::plot;
use crate::result::{Goal, Row, Verdict, show};
use crate::scale::Scale;
use crate::stats::Percentiles;
use crate::usage::{ByPart, CLIENTS};

/// In this order they stand in a cell.
const PARTS: [&str; 8] =
    ["gateway", "messaging", "rooms", "auth", "contacts", "postgres", "redis", CLIENTS];
const MIB: f64 = 1_048_576.0;

/// What a scenario has found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) rows: Vec<Row>,
    pub(crate) curves: Curves,
}

/// What is plotted.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Curves {
    /// End to end, by messages a second.
    pub(crate) latency: Vec<(u32, Percentiles)>,
    /// Durable sends a second, by rooms.
    pub(crate) rooms: Vec<(usize, f64)>,
    /// Deliveries a second in both shapes of *fan-out*, by subscribers.
    pub(crate) fan_out: Vec<(usize, [f64; 2])>,
    /// MiB in all gateways, by connections.
    pub(crate) memory: Vec<(usize, f64)>,
}

/// A scenario that could not be carried out.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    pub(crate) scenario: &'static str,
    pub(crate) error: String,
}

/// What a report tells of.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) scale: Scale,
    pub(crate) is_quick: bool,
    pub(crate) replicas: u8,
    pub(crate) rows: Vec<Row>,
    pub(crate) curves: Curves,
    pub(crate) failures: Vec<Failure>,
    pub(crate) duration: Duration,
}

impl Findings {
    pub(crate) fn of(row: Row) -> Self {
        Self { rows: vec![row], curves: Curves::default() }
    }

    pub(crate) fn add(&mut self, others: Self) {
        self.rows.extend(others.rows);
        self.curves.latency.extend(others.curves.latency);
        self.curves.rooms.extend(others.curves.rooms);
        self.curves.fan_out.extend(others.curves.fan_out);
        self.curves.memory.extend(others.curves.memory);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Speed\n")?;
        self.write_circumstances(f)?;
        writeln!(
            f,
            "\n| scenario | measured | yardstick | ratio | goal | met | p50, p99, p99.9 in ms | CPU s for 1,000 | memory, MiB | stolen |"
        )?;
        writeln!(f, "| --- | ---: | ---: | ---: | --- | --- | ---: | --- | --- | ---: |")?;
        for row in &self.rows {
            write_row(f, row)?;
        }
        for Failure { scenario, error } in &self.failures {
            let error = error.replace('|', "\\|").replace('\n', " ");
            writeln!(
                f,
                "| {scenario} | **could not be measured**: {error} | | | | **no** | | | | |"
            )?;
        }
        for (plot, title) in plot::drawn(&self.curves) {
            writeln!(f, "\n![{title}]({plot})")?;
        }
        Ok(())
    }
}

impl Report {
    fn write_circumstances(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, scale, .. } = self;
        writeln!(f, "| | |\n| --- | --- |")?;
        for (name, value) in machine.lines() {
            writeln!(f, "| {name} | {value} |")?;
        }
        writeln!(f, "| replicas | {} of each part |", self.replicas)?;
        writeln!(
            f,
            "| each load | {} × {} s after {} s of warm-up, in turn with its yardstick; medians |",
            scale.rounds,
            scale.duration.as_secs_f64(),
            scale.warm_up.as_secs_f64()
        )?;
        writeln!(f, "| this run | {:.0} s |", self.duration.as_secs_f64())?;
        if self.is_quick {
            writeln!(f, "| | **quick: once and not for long, so the figures say little** |")?;
        }
        if machine.is_debug {
            writeln!(f, "| | **a development build: the figures say nothing** |")?;
        }
        Ok(())
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    let figure = or_dash(row.figure().map(|figure| format!("**{}** {}", show(figure), row.unit)));
    let yardstick = row.yardstick.as_ref().and_then(|yardstick| {
        let cpu = yardstick
            .cpu
            .map(|cpu| format!(", CPU s for 1,000: {}", show(cpu)))
            .unwrap_or_default();
        Some(format!("{} ({}{cpu})", show(yardstick.figure()?), yardstick.name))
    });
    let ratio = or_dash(row.ratio().map(|ratio| format!("{} ×", show(ratio))));
    let goals: Vec<String> = row.goals.iter().map(Goal::to_string).collect();
    let latencies = row.latencies.map(|latencies| {
        format!("{}, {}, {}", show(latencies.p50), show(latencies.p99), show(latencies.p999))
    });
    let note = row.note.as_ref().map_or_else(String::new, |note| format!("<br>{note}"));
    writeln!(
        f,
        "| {}{note} | {figure} | {} | {ratio} | {} | {} | {} | {} | {} | {} |",
        row.scenario,
        or_dash(yardstick),
        goals.join(", "),
        row.verdict(),
        or_dash(latencies),
        of_parts(&row.cpu, |seconds| (*seconds >= 0.000_05).then(|| show(*seconds))),
        of_parts(&row.memory, |bytes| Some(format!("{:.0}", *bytes as f64 / MIB))),
        or_dash(row.stolen.map(|share| format!("{:.1} %", share * 100.0))),
    )
}

/// What parts use, each with its name; those left out that have nothing to show.
fn of_parts<T>(parts: &ByPart<T>, show: impl Fn(&T) -> Option<String>) -> String {
    let mut cell = String::new();
    for part in PARTS {
        if let Some(value) = parts.get(part).and_then(&show) {
            let separator = if cell.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(cell, "{separator}{part} {value}");
        }
    }
    cell
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "yes",
            Self::Missed => "**no**",
            Self::DoesNotCount => "**does not count**: the yardstick is too slow",
            Self::None => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Measured, Yardstick};
    use crate::usage::Usage;

    fn report() -> Report {
        let usage = ByPart::from([(
            "gateway".to_owned(),
            Usage { cpu: Duration::from_millis(500), memory: 32 << 20 },
        )]);
        let measured = Measured { figure: 16_000.0, operations: 10_000, latencies: None, usage };
        let yardstick = Yardstick::new("pgbench", vec![1_000.0], None);
        let goals = [Goal::RatioAtLeast(8.0), Goal::AtLeast(20_000.0)];
        let mut row = Row::new("hot room", "sends/s", &[measured])
            .unwrap()
            .beside(yardstick)
            .with_goals(goals);
        row.stolen = Some(0.0123);
        Report {
            machine: Machine::default(),
            scale: Scale::QUICK,
            is_quick: true,
            replicas: 1,
            rows: vec![row],
            curves: Curves::default(),
            failures: vec![Failure { scenario: "reads", error: "one | two".to_owned() }],
            duration: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_row_shows_everything_that_was_found() {
        let shown = report().to_string();
        let row = "| hot room | **16,000** sends/s | 1,000 (pgbench) | 16 × | ≥ 8 ×, ≥ 20,000 | **no** | – | gateway 0.05 | \
                   gateway 32 | 1.2 % |";
        assert!(shown.contains(row), "{shown}");
    }

    #[test]
    fn a_failure_is_a_row_that_does_not_break_the_table() {
        let shown = report().to_string();
        assert!(shown.contains("| reads | **could not be measured**: one \\| two |"), "{shown}");
    }

    #[test]
    fn a_quick_run_says_so() {
        assert!(report().to_string().contains("quick"));
        assert!(!Report { is_quick: false, ..report() }.to_string().contains("quick"));
    }
}
