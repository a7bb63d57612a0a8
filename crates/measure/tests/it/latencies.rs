use std::time::Duration;

use parlance_measure::Latencies;

#[test]
fn percentiles_are_exact_to_a_thousandth() {
    assert_eq!(Latencies::new().percentiles(), None);
    let latencies: Latencies = (1..=100_000).map(Duration::from_micros).collect();
    let found = latencies.percentiles().unwrap();
    let expected = [(found.p50, 50.0), (found.p99, 99.0), (found.p999, 99.9), (found.max, 100.0)];
    for (found, expected) in expected {
        assert!((found - expected).abs() <= expected / 1_000.0, "{found} instead of {expected}");
    }
}

#[test]
fn durations_beyond_the_maximum_are_counted() {
    let mut latencies = Latencies::from_iter([Duration::from_secs(3_600)]);
    latencies.merge(&Latencies::from_iter([Duration::from_millis(1)]));
    assert_eq!(latencies.count(), 2);
    assert!(latencies.percentiles().unwrap().max >= 120_000.0);
}
