//! The plot of delivery latency.

use parlance_chaos::history::{Entry, Event, EventKind, History, View};
use parlance_chaos::plot::plot;

#[test]
fn deliveries_are_grouped_by_the_half_second_of_their_commit() {
    let delivered = |created_at: i64| {
        let kind = EventKind::Created { content: "a".to_owned(), created_at };
        let delivered_at = created_at + 5_000;
        Entry::Event(Event { seq: 1, message: 1, delivered_at, kind })
    };
    let entries = [1_000_000, 1_400_000, 1_600_000, 4_000_000].map(delivered).into();
    let history = History { views: vec![View { user: 1, room: 1, entries }], ..Default::default() };
    let median = &plot(&history).unwrap().lines[0];
    let times: Vec<Vec<f64>> =
        median.parts.iter().map(|part| part.iter().map(|(at, _)| *at).collect()).collect();
    // The line is broken where nothing was committed.
    assert_eq!(times, [vec![0.25, 0.75], vec![3.25]]);
}

#[test]
fn there_is_no_plot_without_deliveries() {
    assert!(plot(&History::default()).is_none());
}
