//! The plots of a run.

use parlance_bench::curves::Curves;

#[test]
fn a_curve_with_two_points_is_plotted() {
    let mut curves = Curves { rooms: vec![(1, 9_000.0)], ..Curves::default() };
    assert_eq!(curves.plots().count(), 0);
    curves.rooms.push((10, 12_000.0));
    let folder = tempfile::tempdir().unwrap();
    curves.write_plots(folder.path()).unwrap();
    let plot = std::fs::read_to_string(folder.path().join("rooms.svg")).unwrap();
    assert!(plot.contains("durable sends a second"));
    assert!(!folder.path().join("latency.svg").exists());
}
