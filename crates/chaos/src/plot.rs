//! The plot of delivery latency over time, with the faults marked.

use std::ops::Range;
use std::path::Path;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::coord::combinators::LogCoord;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::history::{FaultRecord, History};
use crate::latency::{Delivery, Latencies, deliveries};

const SIZE: (u32, u32) = (1_400, 560);
const FONT: &str = "sans-serif";
const HEAD_HEIGHT: u32 = 44;
/// The numbers of faults that follow each other stand in so many rows.
const NUMBER_ROWS: usize = 3;
/// A plot has about so many points in a line; a point stands for half a second at least.
const POINTS: i64 = 600;
const SHORTEST_BUCKET: i64 = 500_000;
const SECOND: f64 = 1e6;
/// In milliseconds: the lower end of the axis, and the least upper end.
const LOWEST: f64 = 1.0;
const LEAST_TOP: f64 = 1_000.0;

const BAND: RGBColor = RGBColor(120, 120, 120);
/// The lines, the last drawn on top: which percentile, its name and colour.
const LINES: [(usize, &str, RGBColor); 3] = [
    (100, "slowest", RGBColor(204, 51, 51)),
    (99, "99 %", RGBColor(230, 145, 30)),
    (50, "median", RGBColor(31, 90, 168)),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, LogCoord<f64>>>;

/// What was delivered in a stretch of time, by when it was committed.
struct Bucket {
    /// The middle of the stretch, in seconds since the first commit.
    at: f64,
    latencies: Latencies,
}

/// Writes the plot; nothing if nothing was delivered. Faults have the numbers of their order.
pub(crate) fn draw(path: &Path, history: &History) -> anyhow::Result<()> {
    let mut deliveries: Vec<Delivery> = deliveries(&history.views).collect();
    deliveries.sort_unstable();
    let (Some(first), Some(last)) = (deliveries.first(), deliveries.last()) else { return Ok(()) };
    let span = first.0..last.0;
    let buckets = buckets(&deliveries, &span);
    // The backend's error borrows from it, and says all in its text.
    draw_buckets(path, &buckets, &history.faults, &span)
        .map_err(|error| anyhow!("cannot write {}: {error}", path.display()))
}

fn buckets(deliveries: &[Delivery], span: &Range<i64>) -> Vec<Bucket> {
    let length = SHORTEST_BUCKET.max((span.end - span.start) / POINTS);
    let number = |delivery: &Delivery| (delivery.0 - span.start) / length;
    let stretches = deliveries.chunk_by(|one, next| number(one) == number(next));
    let bucket = |stretch: &[Delivery]| Bucket {
        at: (number(&stretch[0]) as f64 + 0.5) * length as f64 / SECOND,
        latencies: stretch.iter().map(|(_, took)| *took).collect(),
    };
    stretches.map(bucket).collect()
}

fn draw_buckets(
    path: &Path,
    buckets: &[Bucket],
    faults: &[FaultRecord],
    span: &Range<i64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD_HEIGHT);
    draw_head(&head)?;

    let slowest = buckets.iter().filter_map(|bucket| value(bucket, 100)).fold(LEAST_TOP, f64::max);
    // Above the lines there is space for the numbers.
    let top = slowest * 6.0;
    let seconds = (span.end - span.start) as f64 / SECOND;
    let mut chart: Chart<'_> = ChartBuilder::on(&body)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(48)
        .y_label_area_size(84)
        .build_cartesian_2d(0.0..seconds, (LOWEST..top).log_scale())?;
    draw_faults(&chart, faults, span, seconds, top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_labels(12)
        .x_desc("seconds since the first message")
        .x_label_formatter(&|seconds| format!("{seconds:.0}"))
        .y_desc("from commit to arrival")
        .y_label_formatter(&|millis| show(*millis))
        .label_style((FONT, 17))
        .axis_desc_style((FONT, 18))
        .draw()?;
    for (percent, _, colour) in LINES {
        for line in lines(buckets, percent) {
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        }
    }
    root.present()?;
    Ok(())
}

fn draw_head(head: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let middle = HEAD_HEIGHT as i32 / 2;
    let position = Pos::new(HPos::Left, VPos::Center);
    let title = (FONT, 22).into_font().style(FontStyle::Bold).color(&BLACK).pos(position);
    head.draw(&Text::new("Delivery while everything is being hurt", (92, middle), title))?;
    let style = (FONT, 18).into_font().color(&BLACK).pos(position);
    let mut left = SIZE.0 as i32 - 470;
    for (_, name, colour) in LINES.into_iter().rev() {
        let swatch = [(left, middle - 3), (left + 26, middle + 3)];
        head.draw(&Rectangle::new(swatch, colour.filled()))?;
        head.draw(&Text::new(name, (left + 34, middle), style.clone()))?;
        left += 115;
    }
    head.draw(&Rectangle::new(
        [(left, middle - 9), (left + 26, middle + 9)],
        BAND.mix(0.25).filled(),
    ))?;
    head.draw(&Text::new("fault", (left + 34, middle), style))?;
    Ok(())
}

fn draw_faults(
    chart: &Chart<'_>,
    faults: &[FaultRecord],
    span: &Range<i64>,
    seconds: f64,
    top: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let style = (FONT, 15).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
    let place = |at: i64| ((at - span.start) as f64 / SECOND).clamp(0.0, seconds);
    let area = chart.plotting_area();
    for (index, fault) in faults.iter().enumerate() {
        let (begin, end) = (place(fault.begun_at), place(fault.ended_at));
        // One that is over at once is still to be seen.
        let end = end.max(begin + 3.0 * seconds / f64::from(SIZE.0));
        area.draw(&Rectangle::new([(begin, LOWEST), (end, top)], BAND.mix(0.25).filled()))?;
        let number = EmptyElement::at(((begin + end) / 2.0, top))
            + Text::new(
                (index + 1).to_string(),
                (0, 4 + 17 * (index % NUMBER_ROWS) as i32),
                style.clone(),
            );
        area.draw(&number)?;
    }
    Ok(())
}

/// The line of a percentile, broken where nothing was committed.
fn lines(buckets: &[Bucket], percent: usize) -> impl Iterator<Item = Vec<(f64, f64)>> {
    let length =
        buckets.windows(2).map(|pair| pair[1].at - pair[0].at).fold(f64::INFINITY, f64::min);
    let parts = buckets.chunk_by(move |one, next| next.at - one.at < 1.5 * length);
    parts.map(move |part| {
        part.iter().filter_map(|bucket| Some((bucket.at, value(bucket, percent)?))).collect()
    })
}

/// In milliseconds, as far as the axis reaches down.
fn value(bucket: &Bucket, percent: usize) -> Option<f64> {
    bucket.latencies.percentile(percent).map(|time| (time.as_secs_f64() * 1e3).max(LOWEST))
}

fn show(millis: f64) -> String {
    if millis < 1_000.0 { format!("{millis:.0} ms") } else { format!("{:.0} s", millis / 1_000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_gathered_by_the_half_second_in_which_they_were_committed() {
        let deliveries = [(1_000_000, 5), (1_400_000, 9), (1_600_000, 1), (4_000_000, 2)];
        let buckets = buckets(&deliveries, &(1_000_000..4_000_000));
        let seen: Vec<(f64, usize)> =
            buckets.iter().map(|bucket| (bucket.at, bucket.latencies.count())).collect();
        assert_eq!(seen, [(0.25, 2), (0.75, 1), (6.25 - 3.0, 1)]);
        assert_eq!(lines(&buckets, 50).map(|line| line.len()).collect::<Vec<_>>(), [2, 1]);
    }
}
