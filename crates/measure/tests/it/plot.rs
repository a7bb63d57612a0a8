use parlance_measure::{Axis, Band, Line, Plot, Scale, three_digits};

fn plot() -> Plot {
    let line = |name| Line { name, parts: vec![vec![(1.0, 5.0), (9.0, 500.0)]], has_markers: true };
    let axis = |label, scale, range| Axis { label, scale, range, format: three_digits };
    Plot {
        title: "Delivery".to_owned(),
        size: (900, 480),
        x: axis("seconds", Scale::Linear, 0.0..10.0),
        y: axis("ms", Scale::Log, 1.0..1_000.0),
        lines: vec![line("p50"), line("p99")],
        bands: vec![Band { from: 2.0, to: 3.0 }, Band { from: 5.0, to: 5.0 }],
        band_name: "fault",
    }
}

fn svg(plot: &Plot) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plot.svg");
    plot.write(&path).unwrap();
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_plot_names_its_axes_lines_and_bands() {
    let svg = svg(&plot());
    for text in ["Delivery", "seconds", "ms", "p50", "p99", "fault"] {
        assert!(svg.contains(&format!("\n{text}\n")), "{text} is missing");
    }
    assert!(svg.contains("\n100\n"), "the y-axis has no ticks");
}

#[test]
fn a_single_line_has_no_legend() {
    let mut plot = plot();
    plot.lines.truncate(1);
    plot.bands.clear();
    assert!(!svg(&plot).contains("p50"));
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let error = plot().write("/nowhere/plot.svg".as_ref()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/plot.svg"), "{error}");
}
