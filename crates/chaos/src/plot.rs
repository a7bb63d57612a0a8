//! The plot of delivery latency over time, with the faults marked.

use parlance_measure::{Axis, Band, Latencies, Line, Percentiles, Plot, Scale};

use crate::history::History;
use crate::latency::{Delivery, deliveries};

const SIZE: (u32, u32) = (1_400, 560);
/// The maximum number of points of a line.
const MAX_POINTS: i64 = 600;
/// The minimum time between two points, in microseconds.
const MIN_BUCKET: i64 = 500_000;
const SECOND: f64 = 1e6;
/// The bottom of the axis, and the lowest value of its top, in milliseconds.
const BOTTOM: f64 = 1.0;
const MIN_TOP: f64 = 1_000.0;
/// The top lies this much above the highest point, so that the numbers of faults fit in between.
const HEADROOM: f64 = 6.0;

/// The percentiles of the deliveries that were committed in one stretch of time.
struct Bucket {
    /// The middle of the stretch, in seconds since the first commit.
    at: f64,
    percentiles: Percentiles,
}

/// Returns the plot, or `None` if nothing was delivered.
pub fn plot(history: &History) -> Option<Plot> {
    let mut deliveries: Vec<Delivery> = deliveries(&history.views).collect();
    deliveries.sort_unstable();
    let (first, last) = (deliveries.first()?, deliveries.last()?);
    let (begin, length) = (first.committed_at, last.committed_at - first.committed_at);
    let bucket_length = MIN_BUCKET.max(length / MAX_POINTS);
    let buckets = buckets(&deliveries, begin, bucket_length);
    let seconds = |at: i64| (at - begin) as f64 / SECOND;
    let faults = history.faults.iter();
    let line = |name, percentile| Line {
        name,
        parts: parts(&buckets, bucket_length, percentile),
        has_markers: false,
    };
    let highest = buckets.iter().map(|bucket| bucket.percentiles.max).fold(MIN_TOP, f64::max);
    Some(Plot {
        title: "Delivery while faults are injected".to_owned(),
        size: SIZE,
        x: Axis {
            label: "seconds since the first message",
            scale: Scale::Linear,
            range: 0.0..length as f64 / SECOND,
            format: |seconds| format!("{seconds:.0}"),
        },
        y: Axis {
            label: "from commit to arrival",
            scale: Scale::Log,
            range: BOTTOM..highest * HEADROOM,
            format: format_millis,
        },
        lines: vec![
            line("median", |percentiles| percentiles.p50),
            line("99 %", |percentiles| percentiles.p99),
            line("slowest", |percentiles| percentiles.max),
        ],
        bands: faults
            .map(|fault| Band { from: seconds(fault.begun_at), to: seconds(fault.ended_at) })
            .collect(),
        band_name: "fault",
    })
}

fn buckets(deliveries: &[Delivery], begin: i64, length: i64) -> Vec<Bucket> {
    let number = |delivery: &Delivery| (delivery.committed_at - begin) / length;
    let stretches = deliveries.chunk_by(|one, next| number(one) == number(next));
    let bucket = |stretch: &[Delivery]| {
        let latencies: Latencies = stretch.iter().map(|delivery| delivery.latency).collect();
        let at = (number(&stretch[0]) as f64 + 0.5) * length as f64 / SECOND;
        Some(Bucket { at, percentiles: latencies.percentiles()? })
    };
    stretches.filter_map(bucket).collect()
}

/// The line of a percentile, broken where nothing was committed.
fn parts(
    buckets: &[Bucket],
    bucket_length: i64,
    percentile: fn(&Percentiles) -> f64,
) -> Vec<Vec<(f64, f64)>> {
    let max_distance = 1.5 * bucket_length as f64 / SECOND;
    let parts = buckets.chunk_by(|one, next| next.at - one.at < max_distance);
    let point = |bucket: &Bucket| (bucket.at, percentile(&bucket.percentiles).max(BOTTOM));
    parts.map(|part| part.iter().map(point).collect()).collect()
}

fn format_millis(millis: f64) -> String {
    if millis < 1_000.0 { format!("{millis:.0} ms") } else { format!("{:.0} s", millis / 1_000.0) }
}
