//! The table in Markdown.

use std::time::Duration;

use parlance_bench::goal::Goal;
use parlance_bench::machine::Machine;
use parlance_bench::report::{Failure, Report};
use parlance_bench::row::{Baseline, Measured, Row};
use parlance_bench::scale::Scale;
use parlance_bench::usage::{ByPart, Usage};

fn report() -> Report {
    let usage = Usage { cpu: Duration::from_millis(500), memory: 32 << 20 };
    let usage = ByPart::from([("gateway".to_owned(), usage)]);
    let measured = Measured { figure: 16_000.0, operations: 10_000, latencies: None, usage };
    let mut row = Row::new("hot room", "sends/s", &[measured])
        .with_baseline(Baseline::new("pgbench", vec![1_000.0], None))
        .with_goals([Goal::RatioAtLeast(8.0), Goal::AtLeast(20_000.0)]);
    row.stolen = Some(0.0123);
    Report {
        machine: Machine::default(),
        scale: Scale::QUICK,
        is_quick: true,
        replicas: 1,
        rows: vec![row],
        curves: Vec::new(),
        failures: vec![Failure { scenario: "reads", error: "one | two".to_owned() }],
        duration: Duration::from_secs(1),
    }
}

#[test]
fn a_row_shows_all_measures() {
    let shown = report().to_string();
    let row = "| hot room | **16,000** sends/s | 1,000 (pgbench) | 16 × | ≥ 8 ×, ≥ 20,000 \
               | **no** | – | gateway 0.05 | gateway 32 | 1.2 % |";
    assert!(shown.contains(row), "{shown}");
}

#[test]
fn the_error_of_a_failure_does_not_break_the_table() {
    let shown = report().to_string();
    assert!(shown.contains("| reads | **could not be measured**: one \\| two |"), "{shown}");
}

#[test]
fn a_quick_run_is_marked() {
    assert!(report().to_string().contains("quick"));
    assert!(!Report { is_quick: false, ..report() }.to_string().contains("quick"));
}
