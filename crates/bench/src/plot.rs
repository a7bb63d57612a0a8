//! The plots beside the table.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::report::Curves;
use crate::result::show;
use crate::stats::Percentiles;

const SIZE: (u32, u32) = (900, 480);
const FONT: &str = "sans-serif";
const COLOURS: [RGBColor; 3] =
    [RGBColor(31, 90, 168), RGBColor(230, 145, 30), RGBColor(204, 51, 51)];

type Drawn = Result<(), Box<dyn Error>>;
type Points = Vec<(f64, f64)>;

/// Some lines over one axis.
struct Plot {
    file: &'static str,
    title: &'static str,
    across: &'static str,
    upwards: &'static str,
    axes: Axes,
    lines: Vec<(&'static str, Points)>,
}

/// Which of the axes grow by factors.
#[derive(Clone, Copy, Debug)]
enum Axes {
    Both,
    Across,
    Neither,
}

/// Writes the plots of those curves that have points.
pub(crate) fn draw(folder: &Path, curves: &Curves) -> anyhow::Result<()> {
    for plot in plots(curves) {
        let path = folder.join(plot.file);
        // The backend's error borrows from it, and says all in its text.
        plot.draw(&path).map_err(|error| anyhow!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

/// The files that [`draw`] writes, with their titles.
pub(crate) fn drawn(curves: &Curves) -> impl Iterator<Item = (&'static str, &'static str)> {
    plots(curves).map(|plot| (plot.file, plot.title))
}

fn plots(curves: &Curves) -> impl Iterator<Item = Plot> {
    let all = [
        latency(&curves.latency),
        rooms(&curves.rooms),
        fan_out(&curves.fan_out),
        memory(&curves.memory),
    ];
    // A line needs two points.
    all.into_iter().filter(|plot| plot.lines.iter().any(|(_, points)| points.len() > 1))
}

fn latency(curve: &[(u32, Percentiles)]) -> Plot {
    let line = |of: fn(&Percentiles) -> f64| {
        curve.iter().map(|(rate, latencies)| (f64::from(*rate), of(latencies))).collect()
    };
    Plot {
        file: "latency.svg",
        title: "Latency over offered rate",
        across: "messages a second, each to 20 people",
        upwards: "ms, end to end",
        axes: Axes::Both,
        lines: vec![
            ("p50", line(|latencies| latencies.p50)),
            ("p99", line(|latencies| latencies.p99)),
            ("p99.9", line(|latencies| latencies.p999)),
        ],
    }
}

fn rooms(curve: &[(usize, f64)]) -> Plot {
    Plot {
        file: "rooms.svg",
        title: "Throughput over rooms",
        across: "rooms",
        upwards: "durable sends a second",
        axes: Axes::Across,
        lines: vec![("sends", curve.iter().map(|(rooms, rate)| (*rooms as f64, *rate)).collect())],
    }
}

fn fan_out(curve: &[(usize, [f64; 2])]) -> Plot {
    let line =
        |shape: usize| curve.iter().map(|(count, rates)| (*count as f64, rates[shape])).collect();
    Plot {
        file: "fan-out.svg",
        title: "Deliveries over subscribers of one room",
        across: "subscribers",
        upwards: "deliveries a second",
        axes: Axes::Both,
        lines: vec![("1 message in flight", line(0)), ("160 messages in flight", line(1))],
    }
}

fn memory(curve: &[(usize, f64)]) -> Plot {
    Plot {
        file: "memory.svg",
        title: "Memory over connections",
        across: "connections, idle",
        upwards: "MiB in the gateway",
        axes: Axes::Neither,
        lines: vec![(
            "resident",
            curve.iter().map(|(count, memory)| (*count as f64, *memory)).collect(),
        )],
    }
}

impl Plot {
    fn draw(&self, path: &Path) -> Drawn {
        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (x, y) = (self.range(|point| point.0), self.range(|point| point.1));
        match self.axes {
            Axes::Both => {
                self.draw_on(&root, x.log_scale(), (y.start / 1.5..y.end * 1.5).log_scale())?
            }
            Axes::Across => self.draw_on(&root, x.log_scale(), 0.0..y.end * 1.1)?,
            Axes::Neither => self.draw_on(&root, x, 0.0..y.end * 1.1)?,
        }
        root.present()?;
        Ok(())
    }

    fn draw_on<X, Y>(
        &self,
        root: &DrawingArea<SVGBackend<'_>, Shift>,
        x: impl AsRangedCoord<CoordDescType = X, Value = f64>,
        y: impl AsRangedCoord<CoordDescType = Y, Value = f64>,
    ) -> Drawn
    where
        X: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(root)
            .caption(self.title, (FONT, 22))
            .margin(12)
            .margin_right(28)
            .x_label_area_size(48)
            .y_label_area_size(84)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .x_desc(self.across)
            .x_label_formatter(&|value| show(*value))
            .y_desc(self.upwards)
            .y_label_formatter(&|value| show(*value))
            .label_style((FONT, 16))
            .axis_desc_style((FONT, 17))
            .draw()?;
        for ((name, points), colour) in self.lines.iter().zip(COLOURS) {
            let line = LineSeries::new(points.clone(), colour.stroke_width(2)).point_size(3);
            let swatch =
                move |(x, y)| Rectangle::new([(x, y - 2), (x + 18, y + 2)], colour.filled());
            chart.draw_series(line)?.label(*name).legend(swatch);
        }
        // One line is what the title says.
        if self.lines.len() == 1 {
            return Ok(());
        }
        let mut legend = chart.configure_series_labels();
        legend.label_font((FONT, 16)).background_style(WHITE.mix(0.8));
        legend.position(SeriesLabelPosition::UpperLeft).draw()?;
        Ok(())
    }

    /// From the least to the greatest of all points.
    fn range(&self, of: fn(&(f64, f64)) -> f64) -> Range<f64> {
        let values = self.lines.iter().flat_map(|(_, points)| points).map(of);
        values.fold(f64::INFINITY..f64::NEG_INFINITY, |range, value| {
            range.start.min(value)..range.end.max(value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_curves_with_points_are_drawn() {
        let mut curves = Curves { rooms: vec![(1, 9_000.0)], ..Curves::default() };
        assert_eq!(drawn(&curves).count(), 0);
        curves.rooms.push((10, 12_000.0));
        let folder = std::env::temp_dir().join(format!("parlance-plot-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        draw(&folder, &curves).unwrap();
        let plot = std::fs::read_to_string(folder.join("rooms.svg")).unwrap();
        let has_latency = folder.join("latency.svg").exists();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(plot.contains("durable sends a second"));
        assert!(!has_latency);
    }
}
