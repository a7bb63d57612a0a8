//! A row of the table: what a scenario has measured, beside its baseline.

use std::time::Duration;

use parlance_measure::{Latencies, Percentiles, three_digits};
use serde::Serialize;

use crate::goal::Goal;
use crate::usage::{ByPart, Usage};

/// The measurements of one round.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What is compared, in the unit of its row.
    pub figure: f64,
    /// The processor time is divided by this number.
    pub operations: u64,
    /// The latencies of the operations.
    pub latencies: Option<Latencies>,
    /// The usage of each part.
    pub usage: ByPart<Usage>,
}

/// A row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The name of the scenario, and of its variant.
    pub scenario: String,
    /// What the figure counts.
    pub unit: &'static str,
    /// The figures of all rounds.
    pub figures: Vec<f64>,
    /// What the figures are compared with.
    pub baseline: Option<Baseline>,
    /// In milliseconds, of all rounds together.
    pub latencies: Option<Percentiles>,
    /// Processor seconds for 1,000 operations.
    pub cpu: ByPart<f64>,
    /// Bytes at the end of the last round.
    pub memory: ByPart<u64>,
    /// What is to be reached.
    pub goals: Vec<Goal>,
    /// The share of the time of all cores that the host of a virtual machine gave to others while
    /// the scenario ran.
    pub stolen: Option<f64>,
    /// Stands below the name.
    pub note: Option<String>,
}

/// What a figure is compared with.
#[derive(Clone, Debug, Serialize)]
pub struct Baseline {
    /// The name of the program, and what it did.
    pub name: &'static str,
    /// The figures of all rounds.
    pub figures: Vec<f64>,
    /// A lower figure shows that the machine was too busy for the row to count.
    pub minimum: Option<f64>,
    /// Processor seconds for 1,000 operations, if they were counted.
    pub cpu: Option<f64>,
}

impl Row {
    /// Combines the rounds of a scenario.
    pub fn new(scenario: impl Into<String>, unit: &'static str, rounds: &[Measured]) -> Self {
        let mut latencies = Latencies::new();
        for round in rounds.iter().filter_map(|round| round.latencies.as_ref()) {
            latencies.merge(round);
        }
        let memory = rounds.last().map(|round| &round.usage).into_iter().flatten();
        Self {
            scenario: scenario.into(),
            unit,
            figures: figures(rounds),
            baseline: None,
            latencies: latencies.percentiles(),
            cpu: cpu_for_1000(rounds),
            memory: memory.map(|(part, usage)| (part.clone(), usage.memory)).collect(),
            goals: Vec::new(),
            stolen: None,
            note: None,
        }
    }

    /// Sets the baseline.
    #[must_use]
    pub fn with_baseline(mut self, baseline: Baseline) -> Self {
        self.baseline = Some(baseline);
        self
    }

    /// Adds goals.
    #[must_use]
    pub fn with_goals(mut self, goals: impl IntoIterator<Item = Goal>) -> Self {
        self.goals.extend(goals);
        self
    }

    /// Sets the note.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Returns the median of all rounds.
    pub fn figure(&self) -> Option<f64> {
        median(self.figures.iter().copied())
    }

    /// Returns the median of the rounds' ratios: within a round, scenario and baseline see the
    /// machine in the same state.
    pub fn ratio(&self) -> Option<f64> {
        let baseline = self.baseline.as_ref()?;
        let rounds = self.figures.iter().zip(&baseline.figures);
        median(rounds.filter(|(_, other)| **other > 0.0).map(|(figure, other)| figure / other))
    }

    /// Returns in words whether the row meets all of its goals.
    pub fn verdict(&self) -> &'static str {
        let (figure, ratio) = (self.figure(), self.ratio());
        if self.goals.is_empty() {
            ""
        } else if self.baseline.as_ref().is_some_and(Baseline::is_too_slow) {
            "**does not count**: the baseline is too slow"
        } else if self.goals.iter().all(|goal| goal.is_met(figure, ratio, self.latencies)) {
            "yes"
        } else {
            "**no**"
        }
    }

    /// Returns the figure and the ratio in words.
    pub fn summary(&self) -> String {
        let figure = self.figure().map_or_else(|| "nothing".to_owned(), three_digits);
        let ratio = self.ratio().map(|ratio| format!(", {} × the baseline", three_digits(ratio)));
        format!("{figure} {}{}", self.unit, ratio.unwrap_or_default())
    }

    /// Returns the baseline and the ratio in words.
    pub fn comparison(&self) -> String {
        let baseline = self.baseline.as_ref().and_then(Baseline::figure);
        match (baseline, self.ratio()) {
            (Some(figure), Some(ratio)) => {
                format!("{} {}: {} ×", three_digits(figure), self.unit, three_digits(ratio))
            }
            _ => "nothing".to_owned(),
        }
    }
}

impl Baseline {
    /// A baseline of which only the figures are known.
    pub fn new(name: &'static str, figures: Vec<f64>, minimum: Option<f64>) -> Self {
        Self { name, figures, minimum, cpu: None }
    }

    /// A baseline that runs in a process of its own, whose processor time is known.
    pub(crate) fn from_rounds(
        name: &'static str,
        rounds: &[Measured],
        minimum: Option<f64>,
    ) -> Self {
        let cpu = cpu_for_1000(rounds).into_values().next();
        Self { name, figures: figures(rounds), minimum, cpu }
    }

    /// Returns the median of all rounds.
    pub(crate) fn figure(&self) -> Option<f64> {
        median(self.figures.iter().copied())
    }

    /// Returns true if the machine was too busy.
    fn is_too_slow(&self) -> bool {
        self.figure().zip(self.minimum).is_some_and(|(figure, minimum)| figure < minimum)
    }
}

fn figures(rounds: &[Measured]) -> Vec<f64> {
    rounds.iter().map(|round| round.figure).collect()
}

fn cpu_for_1000(rounds: &[Measured]) -> ByPart<f64> {
    let operations: u64 = rounds.iter().map(|round| round.operations).sum();
    let mut sums = ByPart::<Duration>::new();
    for (part, usage) in rounds.iter().flat_map(|round| &round.usage) {
        *sums.entry(part.clone()).or_default() += usage.cpu;
    }
    if operations == 0 {
        return ByPart::new();
    }
    sums.into_iter()
        .map(|(part, cpu)| (part, cpu.as_secs_f64() * 1_000.0 / operations as f64))
        .collect()
}

/// Returns the middle value, or the mean of the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}
