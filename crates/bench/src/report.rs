//! The report of a run: a table in Markdown, and all figures as JSON.

use std::fmt::{self, Write as _};
use std::time::Duration;

use parlance_measure::three_digits;
use serde::Serialize;

use crate::curve::Curve;
use crate::machine::Machine;
use crate::row::{Baseline, Row};
use crate::scale::Scale;
use crate::usage::{ByPart, CLIENTS};

/// The order of the parts in a cell.
const PARTS: [&str; 8] =
    ["gateway", "messaging", "rooms", "auth", "contacts", "postgres", "redis", CLIENTS];
const MIB: f64 = 1_048_576.0;
/// Less processor time for 1,000 operations would be shown as 0.
const MIN_CPU_SECONDS: f64 = 0.000_05;

/// What a scenario has measured.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) rows: Vec<Row>,
    pub(crate) curves: Vec<Curve>,
}

/// A scenario that could not be measured.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// The name of the scenario.
    pub scenario: &'static str,
    /// Why it failed.
    pub error: String,
}

/// Everything that a report contains.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The machine of the run.
    pub machine: Machine,
    /// The sizes and durations of the loads.
    pub scale: Scale,
    /// True if the run was too short for reliable figures.
    pub is_quick: bool,
    /// Processes of each service, and gateways.
    pub replicas: u8,
    /// The table.
    pub rows: Vec<Row>,
    /// The curves beside the table.
    pub curves: Vec<Curve>,
    /// The scenarios that could not be measured.
    pub failures: Vec<Failure>,
    /// How long the run took.
    pub duration: Duration,
}

impl Findings {
    pub(crate) fn from_row(row: Row) -> Self {
        Self { rows: vec![row], curves: Vec::new() }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.curves.extend(other.curves);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Performance\n")?;
        self.write_conditions(f)?;
        write!(f, "\n| scenario | measured | baseline | ratio | goal | met ")?;
        writeln!(f, "| p50, p99, p99.9 in ms | CPU s for 1,000 | memory, MiB | stolen |")?;
        writeln!(f, "| --- | ---: | ---: | ---: | --- | --- | ---: | --- | --- | ---: |")?;
        for row in &self.rows {
            write_row(f, row)?;
        }
        for Failure { scenario, error } in &self.failures {
            let error = error.replace('|', "\\|").replace('\n', " ");
            write!(f, "| {scenario} | **could not be measured**: {error} ")?;
            writeln!(f, "| | | | **no** | | | | |")?;
        }
        for curve in self.curves.iter().filter(|curve| curve.is_drawn()) {
            writeln!(f, "\n![{}]({})", curve.title, curve.file)?;
        }
        Ok(())
    }
}

impl Report {
    fn write_conditions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, scale, .. } = self;
        writeln!(f, "| | |\n| --- | --- |")?;
        for (name, value) in &machine.values {
            writeln!(f, "| {name} | {value} |")?;
        }
        writeln!(f, "| replicas | {} of each part |", self.replicas)?;
        let (duration, warm_up) = (scale.duration.as_secs_f64(), scale.warm_up.as_secs_f64());
        write!(f, "| each load | {} × {duration} s after {warm_up} s of warm-up, ", scale.rounds)?;
        writeln!(f, "in turn with its baseline; medians |")?;
        writeln!(f, "| this run | {:.0} s |", self.duration.as_secs_f64())?;
        if self.is_quick {
            writeln!(f, "| | **quick: one short round, the figures are not reliable** |")?;
        }
        if machine.is_debug {
            writeln!(f, "| | **a development build: the figures mean nothing** |")?;
        }
        Ok(())
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    let figure = row.figure().map(|figure| format!("**{}** {}", three_digits(figure), row.unit));
    let ratio = row.ratio().map(|ratio| format!("{} ×", three_digits(ratio)));
    let goals: Vec<String> = row.goals.iter().map(ToString::to_string).collect();
    let latencies = row.latencies.map(|it| [it.p50, it.p99, it.p999].map(three_digits).join(", "));
    let note = row.note.as_ref().map(|note| format!("<br>{note}")).unwrap_or_default();
    let cells = [
        format!("{}{note}", row.scenario),
        or_dash(figure),
        or_dash(row.baseline.as_ref().and_then(baseline_cell)),
        or_dash(ratio),
        goals.join(", "),
        row.verdict().to_owned(),
        or_dash(latencies),
        parts_cell(&row.cpu, |cpu| (*cpu >= MIN_CPU_SECONDS).then(|| three_digits(*cpu))),
        parts_cell(&row.memory, |bytes| Some(format!("{:.0}", *bytes as f64 / MIB))),
        or_dash(row.stolen.map(|share| format!("{:.1} %", share * 100.0))),
    ];
    writeln!(f, "| {} |", cells.join(" | "))
}

fn baseline_cell(baseline: &Baseline) -> Option<String> {
    let cpu = baseline.cpu.map(|cpu| format!(", CPU s for 1,000: {}", three_digits(cpu)));
    let figure = three_digits(baseline.figure()?);
    Some(format!("{figure} ({}{})", baseline.name, cpu.unwrap_or_default()))
}

/// Returns the value of each part with its name. Parts without text are left out.
fn parts_cell<T>(parts: &ByPart<T>, text: impl Fn(&T) -> Option<String>) -> String {
    let mut cell = String::new();
    for part in PARTS {
        if let Some(value) = parts.get(part).and_then(&text) {
            let separator = if cell.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(cell, "{separator}{part} {value}");
        }
    }
    cell
}
