//! Readings of `/proc`.

use parlance_bench::machine::Cores;
use parlance_bench::usage;

#[test]
fn stolen_time_is_a_share_of_the_time_of_all_cores() {
    let before = Cores { total: 1_000, stolen: 20 };
    let now = Cores { total: 1_100, stolen: 50 };
    assert!((now.stolen_since(before) - 0.3).abs() < 1e-9);
    assert_eq!(before.stolen_since(before), 0.0);
    assert!(Cores::now().is_some_and(|now| now.total > 0));
}

#[test]
fn this_process_uses_memory() {
    let usage = usage::process(std::process::id());
    assert!(usage["process"].memory > 1 << 20, "{usage:?}");
}
