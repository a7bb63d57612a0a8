//! The plots of a run.

use parlance_bench::curve::Curve;
use parlance_measure::Scale;

#[test]
fn a_curve_with_two_points_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rooms.svg");
    let mut curve = Curve {
        file: "rooms.svg",
        title: "Throughput over rooms",
        x: "rooms",
        y: "durable sends a second",
        scales: (Scale::Log, Scale::Linear),
        lines: vec![("sends", vec![(1.0, 9_000.0)])],
    };
    curve.draw(folder.path()).unwrap();
    assert!(!file.exists());
    curve.lines[0].1.push((10.0, 12_000.0));
    curve.draw(folder.path()).unwrap();
    assert!(std::fs::read_to_string(file).unwrap().contains("durable sends a second"));
}
