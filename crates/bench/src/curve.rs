//! A curve beside the table, and its plot.

use std::ops::Range;
use std::path::Path;

use parlance_measure::{Axis, Line, Plot, Scale, three_digits};
use serde::Serialize;

const SIZE: (u32, u32) = (900, 480);

/// The points of a line.
pub type Points = Vec<(f64, f64)>;

/// Lines over one pair of axes.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// The file of the plot.
    pub file: &'static str,
    /// The title of the plot.
    pub title: &'static str,
    /// The label of the horizontal axis.
    pub x: &'static str,
    /// The label of the vertical axis.
    pub y: &'static str,
    /// Whether each axis is logarithmic.
    #[serde(skip)]
    pub scales: (Scale, Scale),
    /// Each line with its name.
    pub lines: Vec<(&'static str, Points)>,
}

impl Curve {
    /// Returns true if a line has two points or more.
    pub fn is_drawn(&self) -> bool {
        self.lines.iter().any(|(_, points)| points.len() > 1)
    }

    /// Writes the plot into a folder, if there is something to draw.
    pub fn draw(&self, folder: &Path) -> anyhow::Result<()> {
        if self.is_drawn() { self.plot().write(&folder.join(self.file)) } else { Ok(()) }
    }

    fn plot(&self) -> Plot {
        let y = self.range(|point| point.1);
        let y = match self.scales.1 {
            Scale::Log => y.start / 1.5..y.end * 1.5,
            Scale::Linear => 0.0..y.end * 1.1,
        };
        let axis = |label, scale, range| Axis { label, scale, range, format: three_digits };
        let lines = self.lines.iter().map(|(name, points)| Line {
            name,
            parts: vec![points.clone()],
            has_markers: true,
        });
        Plot {
            title: self.title.to_owned(),
            size: SIZE,
            x: axis(self.x, self.scales.0, self.range(|point| point.0)),
            y: axis(self.y, self.scales.1, y),
            lines: lines.collect(),
            bands: Vec::new(),
            band_name: "",
        }
    }

    /// Returns the range of a coordinate of all points.
    fn range(&self, coordinate: fn(&(f64, f64)) -> f64) -> Range<f64> {
        let values = self.lines.iter().flat_map(|(_, points)| points).map(coordinate);
        values.fold(f64::INFINITY..f64::NEG_INFINITY, |range, value| {
            range.start.min(value)..range.end.max(value)
        })
    }
}
