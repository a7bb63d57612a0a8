//! Line plots as SVG files: a heading with the title and a legend, and below it lines over one pair
//! of axes. Bands mark stretches of the x-axis, for example faults.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const FONT: &str = "sans-serif";
const HEADING_HEIGHT: u32 = 44;
/// The heading begins above the y-axis.
const Y_LABELS_WIDTH: u32 = 84;
const SWATCH_WIDTH: i32 = 26;
/// The average width of a character of the legend.
const LEGEND_CHARACTER_WIDTH: i32 = 8;
/// Lines beyond these are not drawn.
const COLOURS: [RGBColor; 3] =
    [RGBColor(31, 90, 168), RGBColor(230, 145, 30), RGBColor(204, 51, 51)];
const BAND_COLOUR: RGBColor = RGBColor(120, 120, 120);
const BAND_OPACITY: f64 = 0.25;
/// In pixels. A shorter band would be invisible.
const MIN_BAND_WIDTH: f64 = 3.0;
/// The numbers of adjacent bands stand in different rows.
const BAND_NUMBER_ROWS: usize = 3;

type Drawn = Result<(), Box<dyn Error>>;

/// A plot of up to three lines.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Stands in the heading.
    pub title: String,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines; a later one covers an earlier one. A single line has no legend.
    pub lines: Vec<Line>,
    /// Grey stretches of the x-axis, numbered from 1.
    pub bands: Vec<Band>,
    /// What the legend calls a band.
    pub band_name: &'static str,
}

/// An axis of a plot.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What the values are, with their unit.
    pub label: &'static str,
    /// Linear or logarithmic.
    pub scale: Scale,
    /// The values that the axis shows.
    pub range: Range<f64>,
    /// Returns the text of a tick.
    pub format: fn(f64) -> String,
}

/// How the values of an axis are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal distances are equal differences.
    Linear,
    /// Equal distances are equal ratios. All values must be positive.
    Log,
}

/// A line of a plot.
#[derive(Clone, Debug)]
pub struct Line {
    /// Stands in the legend.
    pub name: &'static str,
    /// The points of each unbroken part, by x.
    pub parts: Vec<Vec<(f64, f64)>>,
    /// True if each point is marked.
    pub has_markers: bool,
}

/// A stretch of the x-axis.
#[derive(Clone, Copy, Debug)]
pub struct Band {
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
}

impl Plot {
    /// Writes the plot to a file.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        // The error of the backend borrows from it, and its text says everything.
        self.draw(path).map_err(|error| anyhow!("cannot write {}: {error}", path.display()))
    }

    fn draw(&self, path: &Path) -> Drawn {
        let root = SVGBackend::new(path, self.size).into_drawing_area();
        root.fill(&WHITE)?;
        let (heading, body) = root.split_vertically(HEADING_HEIGHT);
        self.draw_heading(&heading)?;
        let (x, y) = (self.x.range.clone(), self.y.range.clone());
        match (self.x.scale, self.y.scale) {
            (Scale::Linear, Scale::Linear) => self.draw_body(&body, x, y)?,
            (Scale::Linear, Scale::Log) => self.draw_body(&body, x, y.log_scale())?,
            (Scale::Log, Scale::Linear) => self.draw_body(&body, x.log_scale(), y)?,
            (Scale::Log, Scale::Log) => self.draw_body(&body, x.log_scale(), y.log_scale())?,
        }
        root.present()?;
        Ok(())
    }

    fn draw_heading(&self, heading: &DrawingArea<SVGBackend<'_>, Shift>) -> Drawn {
        let middle = HEADING_HEIGHT as i32 / 2;
        let text =
            |size| (FONT, size).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
        heading.draw(&Text::new(self.title.as_str(), (Y_LABELS_WIDTH as i32, middle), text(22)))?;
        let mut right = self.size.0 as i32;
        for (name, half_height, style) in self.legend() {
            let left =
                right - SWATCH_WIDTH - LEGEND_CHARACTER_WIDTH * (name.chars().count() as i32 + 3);
            let swatch =
                [(left, middle - half_height), (left + SWATCH_WIDTH, middle + half_height)];
            heading.draw(&Rectangle::new(swatch, style))?;
            heading.draw(&Text::new(name, (left + SWATCH_WIDTH + 8, middle), text(18)))?;
            right = left;
        }
        Ok(())
    }

    /// Name, half of the swatch's height and its style, from right to left.
    fn legend(&self) -> Vec<(&'static str, i32, ShapeStyle)> {
        let has_legend = self.lines.len() > 1 || !self.bands.is_empty();
        let band = (self.band_name, 9, BAND_COLOUR.mix(BAND_OPACITY).filled());
        let lines =
            self.lines.iter().zip(COLOURS).map(|(line, colour)| (line.name, 3, colour.filled()));
        let mut legend: Vec<_> = lines.filter(|_| has_legend).collect();
        legend.extend((!self.bands.is_empty()).then_some(band));
        legend.reverse();
        legend
    }

    fn draw_body<X, Y>(
        &self,
        body: &DrawingArea<SVGBackend<'_>, Shift>,
        x: impl AsRangedCoord<CoordDescType = X, Value = f64>,
        y: impl AsRangedCoord<CoordDescType = Y, Value = f64>,
    ) -> Drawn
    where
        X: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(body)
            .margin(8)
            .margin_right(28)
            .x_label_area_size(48)
            .y_label_area_size(Y_LABELS_WIDTH)
            .build_cartesian_2d(x, y)?;
        self.draw_bands(chart.plotting_area())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .x_labels(12)
            .x_desc(self.x.label)
            .x_label_formatter(&|value| (self.x.format)(*value))
            .y_desc(self.y.label)
            .y_label_formatter(&|value| (self.y.format)(*value))
            .label_style((FONT, 16))
            .axis_desc_style((FONT, 17))
            .draw()?;
        for (line, colour) in self.lines.iter().zip(COLOURS) {
            for part in &line.parts {
                let series = LineSeries::new(part.clone(), colour.stroke_width(2));
                chart.draw_series(series.point_size(if line.has_markers { 3 } else { 0 }))?;
            }
        }
        Ok(())
    }

    fn draw_bands<X, Y>(&self, area: &DrawingArea<SVGBackend<'_>, Cartesian2d<X, Y>>) -> Drawn
    where
        X: Ranged<ValueType = f64>,
        Y: Ranged<ValueType = f64>,
    {
        let (x, y) = (&self.x.range, &self.y.range);
        let min_length = MIN_BAND_WIDTH * (x.end - x.start) / f64::from(self.size.0);
        let style = (FONT, 15).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
        for (index, band) in self.bands.iter().enumerate() {
            let from = band.from.clamp(x.start, x.end);
            let to = band.to.clamp(x.start, x.end).max(from + min_length);
            let fill = BAND_COLOUR.mix(BAND_OPACITY).filled();
            area.draw(&Rectangle::new([(from, y.start), (to, y.end)], fill))?;
            let offset = (0, 4 + 17 * (index % BAND_NUMBER_ROWS) as i32);
            let number = Text::new((index + 1).to_string(), offset, style.clone());
            area.draw(&(EmptyElement::at(((from + to) / 2.0, y.end)) + number))?;
        }
        Ok(())
    }
}
