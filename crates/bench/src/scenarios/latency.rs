//! *Latency*: messages at a steady rate to many rooms, however fast the server is.

use std::time::Duration;

use parlance_measure::{Latencies, Percentiles, Scale};

use crate::baselines::pgbench;
use crate::bench::{Bench, GROUP_SIZE};
use crate::curve::{Curve, Points};
use crate::goal::Goal;
use crate::load::open_loop::{Ready, Tally};
use crate::open_files;
use crate::report::Findings;
use crate::row::{Measured, Row};
use crate::scenario::Scenario;
use crate::setup::Group;
use crate::usage::{ByPart, Usage};

const UNIT: &str = "deliveries/s";
/// The rates of the curve as multiples of the usual rate.
const FACTORS: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let (rate, duration) = (bench.scale.rate, bench.scale.duration);
    open_files::ensure_limit(bench.scale.groups * (GROUP_SIZE + 1))?;
    let groups = bench.groups().await?;
    pgbench::settle(&bench.stack).await?;
    let (mut end_to_end, mut from_commit) = (Vec::new(), Vec::new());
    let mut lateness = Latencies::new();
    for round in 0..bench.scale.rounds {
        bench.step(Scenario::Latency, round, &format!("{rate} messages a second"));
        let (tally, usage) = measure(bench, groups, rate, duration).await?;
        lateness.merge(&tally.lateness);
        let measured = |latencies, usage| Measured {
            figure: tally.deliveries as f64 / duration.as_secs_f64(),
            operations: tally.deliveries,
            latencies: Some(latencies),
            usage,
        };
        from_commit.push(measured(tally.from_commit, ByPart::new()));
        end_to_end.push(measured(tally.end_to_end, usage));
    }
    let name = |part: &str| format!("{} at {rate}/s, {part}", Scenario::Latency.name());
    let goals = [Goal::P99Under(15.0), Goal::P999Under(50.0)];
    let mut row = Row::new(name("end to end"), UNIT, &end_to_end).with_goals(goals);
    if let Some(lateness) = lateness.percentiles() {
        row = row.with_note(format!("99 % were sent within {:.2} ms of their time", lateness.p99));
    }
    let mut findings = Findings::from_row(row);
    findings.rows.push(Row::new(name("commit to socket"), UNIT, &from_commit));
    findings.curves.push(curve(bench, groups).await);
    Ok(findings)
}

/// Measures growing rates until one is too high.
async fn curve(bench: &Bench<'_>, groups: &[Group]) -> Curve {
    let mut points: Vec<(f64, Percentiles)> = Vec::new();
    for factor in FACTORS {
        let rate = (f64::from(bench.scale.rate) * factor) as u32;
        let step = format!("{}: {rate} messages a second", Scenario::Latency.name());
        bench.progress.step(&step);
        match measure(bench, groups, rate, bench.scale.point).await {
            Ok((tally, _)) => {
                points.extend(tally.end_to_end.percentiles().map(|it| (rate.into(), it)));
            }
            Err(error) => {
                bench.progress.line(&format!("{step} are too many: {error:#}"));
                break;
            }
        }
    }
    let line = |percentile: fn(&Percentiles) -> f64| -> Points {
        points.iter().map(|(rate, percentiles)| (*rate, percentile(percentiles))).collect()
    };
    Curve {
        file: "latency.svg",
        title: "Latency over offered rate",
        x: "messages a second, each to 20 subscribers",
        y: "ms, end to end",
        scales: (Scale::Log, Scale::Log),
        lines: vec![
            ("p50", line(|it| it.p50)),
            ("p99", line(|it| it.p99)),
            ("p99.9", line(|it| it.p999)),
        ],
    }
}

async fn measure(
    bench: &Bench<'_>,
    groups: &[Group],
    rate: u32,
    duration: Duration,
) -> anyhow::Result<(Tally, ByPart<Usage>)> {
    let ready = Ready::connect(&bench.setup, groups, rate).await?;
    bench.measure(duration, async |window| ready.run(window).await).await
}
