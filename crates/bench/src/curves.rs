//! The curves of a run and their plots.

use std::ops::Range;
use std::path::Path;

use parlance_measure::{Axis, Line, Percentiles, Plot, Scale, three_digits};
use serde::Serialize;

const SIZE: (u32, u32) = (900, 480);

/// The points of all curves.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Curves {
    /// End-to-end latency by messages a second.
    pub latency: Vec<(u32, Percentiles)>,
    /// Durable sends a second by rooms.
    pub rooms: Vec<(usize, f64)>,
    /// Deliveries a second in both variants of *fan-out* by subscribers.
    pub fan_out: Vec<(usize, [f64; 2])>,
    /// MiB in all gateways by connections.
    pub memory: Vec<(usize, f64)>,
}

type Points = Vec<(f64, f64)>;

impl Curves {
    /// Adds the points of another scenario.
    pub(crate) fn extend(&mut self, other: Self) {
        self.latency.extend(other.latency);
        self.rooms.extend(other.rooms);
        self.fan_out.extend(other.fan_out);
        self.memory.extend(other.memory);
    }

    /// Returns the plots of the curves that have at least two points, each with its file name.
    pub fn plots(&self) -> impl Iterator<Item = (&'static str, Plot)> {
        let all = [
            ("latency.svg", self.latency_plot()),
            ("rooms.svg", self.rooms_plot()),
            ("fan-out.svg", self.fan_out_plot()),
            ("memory.svg", self.memory_plot()),
        ];
        all.into_iter().filter(|(_, plot)| plot.lines.iter().any(|line| line.parts[0].len() > 1))
    }

    /// Writes the plots into a folder.
    pub fn write_plots(&self, folder: &Path) -> anyhow::Result<()> {
        self.plots().try_for_each(|(file, plot)| plot.write(&folder.join(file)))
    }

    fn latency_plot(&self) -> Plot {
        let line = |percentile: fn(&Percentiles) -> f64| -> Points {
            self.latency.iter().map(|(rate, it)| (f64::from(*rate), percentile(it))).collect()
        };
        plot(
            "Latency over offered rate",
            ("messages a second, each to 20 subscribers", Scale::Log),
            ("ms, end to end", Scale::Log),
            vec![
                ("p50", line(|it| it.p50)),
                ("p99", line(|it| it.p99)),
                ("p99.9", line(|it| it.p999)),
            ],
        )
    }

    fn rooms_plot(&self) -> Plot {
        plot(
            "Throughput over rooms",
            ("rooms", Scale::Log),
            ("durable sends a second", Scale::Linear),
            vec![("sends", points(&self.rooms))],
        )
    }

    fn fan_out_plot(&self) -> Plot {
        let line = |variant: usize| -> Points {
            self.fan_out.iter().map(|(count, rates)| (*count as f64, rates[variant])).collect()
        };
        plot(
            "Deliveries over subscribers of one room",
            ("subscribers", Scale::Log),
            ("deliveries a second", Scale::Log),
            vec![("1 message in flight", line(0)), ("160 messages in flight", line(1))],
        )
    }

    fn memory_plot(&self) -> Plot {
        plot(
            "Memory over connections",
            ("idle connections", Scale::Linear),
            ("MiB in the gateway", Scale::Linear),
            vec![("resident", points(&self.memory))],
        )
    }
}

fn points(curve: &[(usize, f64)]) -> Points {
    curve.iter().map(|(x, y)| (*x as f64, *y)).collect()
}

fn plot(
    title: &str,
    x: (&'static str, Scale),
    y: (&'static str, Scale),
    lines: Vec<(&'static str, Points)>,
) -> Plot {
    let axis = |(label, scale), range| Axis { label, scale, range, format: three_digits };
    let all = || lines.iter().flat_map(|(_, points)| points);
    let (x_range, y_range) = (range(all().map(|point| point.0)), range(all().map(|point| point.1)));
    let y_range = match y.1 {
        Scale::Log => y_range.start / 1.5..y_range.end * 1.5,
        Scale::Linear => 0.0..y_range.end * 1.1,
    };
    let (x, y) = (axis(x, x_range), axis(y, y_range));
    let line = |(name, points)| Line { name, parts: vec![points], has_markers: true };
    let lines = lines.into_iter().map(line).collect();
    Plot { title: title.to_owned(), size: SIZE, x, y, lines, bands: Vec::new(), band_name: "" }
}

/// Returns the range from the least to the greatest value.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    values.fold(f64::INFINITY..f64::NEG_INFINITY, |range, value| {
        range.start.min(value)..range.end.max(value)
    })
}
