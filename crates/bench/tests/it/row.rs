//! Rows of the table and their goals.

use std::time::Duration;

use parlance_bench::goal::Goal;
use parlance_bench::row::{Baseline, Measured, Row, median};
use parlance_bench::usage::{ByPart, Usage};

fn measured(figure: f64, cpu: Duration, latency: Duration) -> Measured {
    let latencies = Some([latency].into_iter().collect());
    let usage = ByPart::from([("gateway".to_owned(), Usage { cpu, memory: 7 })]);
    Measured { figure, operations: 500, latencies, usage }
}

fn row() -> Row {
    let rounds = [
        measured(100.0, Duration::from_secs(1), Duration::from_millis(1)),
        measured(300.0, Duration::from_secs(2), Duration::from_millis(1)),
        measured(200.0, Duration::from_secs(3), Duration::from_millis(9)),
    ];
    Row::new("hot room", "sends/s", &rounds)
}

fn baseline(figures: [f64; 3], minimum: f64) -> Baseline {
    Baseline::new("pgbench", figures.to_vec(), Some(minimum))
}

#[test]
fn a_row_combines_its_rounds() {
    let row = row();
    assert_eq!(row.figure(), Some(200.0));
    assert_eq!(row.cpu["gateway"], 4.0);
    assert_eq!(row.memory["gateway"], 7);
    assert!((row.latencies.unwrap().p99 - 9.0).abs() < 0.01);
    assert_eq!(row.verdict(), "");
}

#[test]
fn a_ratio_compares_within_each_round() {
    // The machine was twice as fast in the last two rounds. The ratio of the medians is 2.
    let row = row().with_baseline(baseline([10.0, 100.0, 200.0], 0.0));
    assert_eq!(row.ratio(), Some(3.0));
}

#[test]
fn a_summary_has_figure_and_ratio() {
    let row = row().with_baseline(baseline([100.0; 3], 0.0));
    assert_eq!(row.summary(), "200 sends/s, 2 × the baseline");
    assert_eq!(row.comparison(), "100 sends/s: 2 ×");
}

#[test]
fn a_row_meets_its_goals_only_together() {
    let row = row().with_baseline(baseline([100.0; 3], 50.0));
    let verdict = |goals: &[Goal]| row.clone().with_goals(goals.iter().copied()).verdict();
    assert_eq!(verdict(&[Goal::AtLeast(200.0), Goal::RatioAtLeast(2.0)]), "yes");
    assert_eq!(verdict(&[Goal::AtLeast(200.0), Goal::RatioAtLeast(2.1)]), "**no**");
    assert_eq!(verdict(&[Goal::AtMost(199.0)]), "**no**");
    assert_eq!(verdict(&[Goal::RatioAtMost(2.0), Goal::P99Under(10.0)]), "yes");
    assert_eq!(verdict(&[Goal::P999Under(9.0)]), "**no**");
}

#[test]
fn a_row_beside_a_slow_baseline_does_not_count() {
    let row = row().with_baseline(baseline([100.0; 3], 101.0)).with_goals([Goal::AtLeast(1.0)]);
    assert_eq!(row.verdict(), "**does not count**: the baseline is too slow");
}

#[test]
fn a_goal_without_its_measure_is_missed() {
    let row = row().with_goals([Goal::RatioAtLeast(0.1)]);
    assert_eq!(row.verdict(), "**no**");
}

#[test]
fn the_median_does_not_depend_on_the_order() {
    assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median([4.0, 1.0, 3.0, 2.0]), Some(2.5));
    assert_eq!(median([7.0]), Some(7.0));
    assert_eq!(median([]), None);
}
