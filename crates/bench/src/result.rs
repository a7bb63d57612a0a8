//! What a scenario has found, and how it compares with its yardstick and its goals.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::stats::{Latencies, Percentiles, median};
use crate::usage::{ByPart, Usage};

/// What one run of a load gave.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// What is compared, in the unit of its row.
    pub(crate) figure: f64,
    /// What the processor time is divided by.
    pub(crate) operations: u64,
    pub(crate) latencies: Option<Latencies>,
    pub(crate) usage: ByPart<Usage>,
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: String,
    /// What the figure counts.
    pub(crate) unit: &'static str,
    /// The figures of all rounds.
    pub(crate) figures: Vec<f64>,
    pub(crate) yardstick: Option<Yardstick>,
    /// In milliseconds, of all rounds together.
    pub(crate) latencies: Option<Percentiles>,
    /// Processor seconds for 1,000 operations.
    pub(crate) cpu: ByPart<f64>,
    /// Bytes at the end of the last round.
    pub(crate) memory: ByPart<u64>,
    pub(crate) goals: Vec<Goal>,
    /// Of the time of all cores while the scenario ran, the share that the host of a virtual
    /// machine gave to others.
    pub(crate) stolen: Option<f64>,
    /// What else is to be known.
    pub(crate) note: Option<String>,
}

/// What a figure is compared with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Yardstick {
    pub(crate) name: &'static str,
    /// The figures of all rounds.
    pub(crate) figures: Vec<f64>,
    /// Below this the machine was too busy for the row to count.
    pub(crate) least: Option<f64>,
    /// Processor seconds for 1,000 operations, where they were counted.
    pub(crate) cpu: Option<f64>,
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    RatioAtLeast(f64),
    RatioAtMost(f64),
    /// In milliseconds.
    P99Under(f64),
    /// In milliseconds.
    P999Under(f64),
}

/// Whether the goals were reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) enum Verdict {
    Met,
    Missed,
    /// The yardstick was too slow: something else kept the machine busy.
    DoesNotCount,
    /// There is no goal.
    None,
}

impl Row {
    /// Sums up the rounds of a scenario.
    pub(crate) fn new(
        scenario: impl Into<String>,
        unit: &'static str,
        rounds: &[Measured],
    ) -> anyhow::Result<Self> {
        let mut latencies = Latencies::new()?;
        for round in rounds {
            round.latencies.as_ref().map_or(Ok(()), |of_round| latencies.add(of_round))?;
        }
        let memory = rounds.last().map(|round| &round.usage).into_iter().flatten();
        Ok(Self {
            scenario: scenario.into(),
            unit,
            figures: rounds.iter().map(|round| round.figure).collect(),
            yardstick: None,
            latencies: latencies.percentiles(),
            cpu: cpu_for_1000(rounds),
            memory: memory.map(|(part, usage)| (part.clone(), usage.memory)).collect(),
            goals: Vec::new(),
            stolen: None,
            note: None,
        })
    }

    pub(crate) fn beside(mut self, yardstick: Yardstick) -> Self {
        self.yardstick = Some(yardstick);
        self
    }

    pub(crate) fn with_goals(mut self, goals: impl IntoIterator<Item = Goal>) -> Self {
        self.goals.extend(goals);
        self
    }

    pub(crate) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// The median of all rounds.
    pub(crate) fn figure(&self) -> Option<f64> {
        median(self.figures.iter().copied())
    }

    /// The median of the rounds' ratios: both sides of a ratio saw the machine in the same state.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let yardstick = self.yardstick.as_ref()?;
        let rounds = self.figures.iter().zip(&yardstick.figures);
        median(rounds.filter(|(_, other)| **other > 0.0).map(|(figure, other)| figure / other))
    }

    /// The figure and the ratio, for a person who waits.
    pub(crate) fn summary(&self) -> String {
        let figure = self.figure().map_or_else(|| "nothing".to_owned(), show);
        let ratio = self
            .ratio()
            .map_or_else(String::new, |ratio| format!(", {} × the yardstick", show(ratio)));
        format!("{figure} {}{ratio}", self.unit)
    }

    /// The yardstick and the ratio, in words.
    pub(crate) fn compared(&self) -> String {
        let yardstick = self.yardstick.as_ref().and_then(Yardstick::figure);
        match (yardstick, self.ratio()) {
            (Some(figure), Some(ratio)) => {
                format!("{} {}: {} ×", show(figure), self.unit, show(ratio))
            }
            _ => "nothing".to_owned(),
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let is_too_slow = |yardstick: &Yardstick| match (yardstick.figure(), yardstick.least) {
            (Some(figure), Some(least)) => figure < least,
            _ => false,
        };
        if self.goals.is_empty() {
            Verdict::None
        } else if self.yardstick.as_ref().is_some_and(is_too_slow) {
            Verdict::DoesNotCount
        } else if self.goals.iter().all(|goal| goal.is_met(self)) {
            Verdict::Met
        } else {
            Verdict::Missed
        }
    }
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

impl Yardstick {
    pub(crate) fn new(name: &'static str, figures: Vec<f64>, least: Option<f64>) -> Self {
        Self { name, figures, least, cpu: None }
    }

    /// One that has served in a process of its own.
    pub(crate) fn served(name: &'static str, rounds: &[Measured], least: Option<f64>) -> Self {
        let cpu = cpu_for_1000(rounds).into_values().next();
        Self { name, figures: rounds.iter().map(|round| round.figure).collect(), least, cpu }
    }

    pub(crate) fn figure(&self) -> Option<f64> {
        median(self.figures.iter().copied())
    }
}

impl Goal {
    /// A goal whose measure is missing is missed.
    fn is_met(self, row: &Row) -> bool {
        let figure = row.figure();
        match self {
            Self::AtLeast(least) => figure.is_some_and(|figure| figure >= least),
            Self::AtMost(most) => figure.is_some_and(|figure| figure <= most),
            Self::RatioAtLeast(least) => row.ratio().is_some_and(|ratio| ratio >= least),
            Self::RatioAtMost(most) => row.ratio().is_some_and(|ratio| ratio <= most),
            Self::P99Under(limit) => row.latencies.is_some_and(|latencies| latencies.p99 < limit),
            Self::P999Under(limit) => row.latencies.is_some_and(|latencies| latencies.p999 < limit),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {}", show(*least)),
            Self::AtMost(most) => write!(f, "≤ {}", show(*most)),
            Self::RatioAtLeast(least) => write!(f, "≥ {least} ×"),
            Self::RatioAtMost(most) => write!(f, "≤ {most} ×"),
            Self::P99Under(limit) => write!(f, "p99 < {limit} ms"),
            Self::P999Under(limit) => write!(f, "p99.9 < {limit} ms"),
        }
    }
}

/// With three digits that matter, thousands apart.
pub(crate) fn show(value: f64) -> String {
    let decimals = match value.abs() {
        value if value >= 100.0 || value == 0.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), ""), |parts| parts);
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(figure: f64, cpu: Duration, latency: Duration) -> Measured {
        let mut latencies = Latencies::new().unwrap();
        latencies.record(latency);
        let usage = ByPart::from([("gateway".to_owned(), Usage { cpu, memory: 7 })]);
        Measured { figure, operations: 500, latencies: Some(latencies), usage }
    }

    fn row() -> Row {
        let rounds = [
            measured(100.0, Duration::from_secs(1), Duration::from_millis(1)),
            measured(300.0, Duration::from_secs(2), Duration::from_millis(1)),
            measured(200.0, Duration::from_secs(3), Duration::from_millis(9)),
        ];
        Row::new("hot room", "sends/s", &rounds).unwrap()
    }

    fn beside(figures: [f64; 3], least: f64) -> Yardstick {
        Yardstick::new("pgbench", figures.to_vec(), Some(least))
    }

    #[test]
    fn a_row_sums_up_its_rounds() {
        let row = row();
        assert_eq!(row.figure(), Some(200.0));
        assert_eq!(row.cpu["gateway"], 4.0);
        assert_eq!(row.memory["gateway"], 7);
        assert!((row.latencies.unwrap().p99 - 9.0).abs() < 0.01);
        assert_eq!(row.verdict(), Verdict::None);
    }

    #[test]
    fn a_ratio_compares_within_each_round() {
        // The machine was twice as quick in the last two rounds; the medians alone would say 2.
        let row = row().beside(beside([10.0, 100.0, 200.0], 0.0));
        assert_eq!(row.ratio(), Some(3.0));
    }

    #[test]
    fn a_person_who_waits_is_told_figure_and_ratio() {
        let row = row().beside(beside([100.0; 3], 0.0));
        assert_eq!(row.summary(), "200 sends/s, 2 × the yardstick");
        assert_eq!(row.compared(), "100 sends/s: 2 ×");
    }

    #[test]
    fn a_goal_is_met_or_missed_as_a_whole() {
        let row = row().beside(beside([100.0; 3], 50.0));
        let verdict = |goals: &[Goal]| row.clone().with_goals(goals.iter().copied()).verdict();
        assert_eq!(verdict(&[Goal::AtLeast(200.0), Goal::RatioAtLeast(2.0)]), Verdict::Met);
        assert_eq!(verdict(&[Goal::AtLeast(200.0), Goal::RatioAtLeast(2.1)]), Verdict::Missed);
        assert_eq!(verdict(&[Goal::AtMost(199.0)]), Verdict::Missed);
        assert_eq!(verdict(&[Goal::RatioAtMost(2.0), Goal::P99Under(10.0)]), Verdict::Met);
        assert_eq!(verdict(&[Goal::P999Under(9.0)]), Verdict::Missed);
    }

    #[test]
    fn a_row_beside_a_slow_yardstick_does_not_count() {
        let row = row().beside(beside([100.0; 3], 101.0)).with_goals([Goal::AtLeast(1.0)]);
        assert_eq!(row.verdict(), Verdict::DoesNotCount);
    }

    #[test]
    fn a_goal_without_its_measure_is_missed() {
        assert_eq!(row().with_goals([Goal::RatioAtLeast(0.1)]).verdict(), Verdict::Missed);
    }

    #[test]
    fn figures_have_three_digits_that_matter() {
        let shown: Vec<String> =
            [1_234_567.8, 999.0, 15_000.0, 12.34, 1.5, 0.5, 0.01234, 0.0, -1_234.0]
                .map(show)
                .to_vec();
        let wanted = ["1,234,568", "999", "15,000", "12.3", "1.5", "0.5", "0.0123", "0", "-1,234"];
        assert_eq!(shown, wanted);
    }
}
