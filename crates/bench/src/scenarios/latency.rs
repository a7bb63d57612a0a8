//! *Latency*: a steady rate over many rooms, whatever the server makes of it.

use std::time::Duration;

use super::{Bench, CIRCLE, Scenario};
use crate::api::Circle;
use crate::files;
use crate::load::open_loop::{OpenLoop, Tally};
use crate::report::Findings;
use crate::result::{Goal, Measured, Row};
use crate::stats::{Latencies, Percentiles};
use crate::usage::{ByPart, Usage, Window};
use crate::yardsticks::pgbench;

const UNIT: &str = "deliveries/s";
/// The rates of the curve, by the usual one.
const FACTORS: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    files::ensure_allowed(bench.scale.circles * (CIRCLE + 1))?;
    let circles = bench.crowd().await?;
    pgbench::settle(&bench.stack).await?;
    let rate = bench.scale.rate;
    let (mut end_to_end, mut from_commit, mut lateness) =
        (Vec::new(), Vec::new(), Latencies::new()?);
    for round in 0..bench.scale.rounds {
        bench.step(Scenario::Latency, round, &format!("{rate} messages a second"));
        let (tally, usage) = measure(bench, circles, rate, bench.scale.duration).await?;
        lateness.add(&tally.lateness)?;
        let measured = |latencies, usage| Measured {
            figure: tally.deliveries as f64 / bench.scale.duration.as_secs_f64(),
            operations: tally.deliveries,
            latencies: Some(latencies),
            usage,
        };
        from_commit.push(measured(tally.from_commit, ByPart::new()));
        end_to_end.push(measured(tally.end_to_end, usage));
    }
    let what = |part: &str| format!("{} at {rate}/s, {part}", Scenario::Latency.name());
    let goals = [Goal::P99Under(15.0), Goal::P999Under(50.0)];
    let mut row = Row::new(what("end to end"), UNIT, &end_to_end)?.with_goals(goals);
    if let Some(lateness) = lateness.percentiles() {
        row = row.with_note(format!("99 % were sent within {:.2} ms of their time", lateness.p99));
    }
    let mut findings = Findings::of(row);
    findings.rows.push(Row::new(what("commit to socket"), UNIT, &from_commit)?);
    findings.curves.latency = curve(bench, circles).await;
    Ok(findings)
}

/// At growing rates, until one is too high.
async fn curve(bench: &Bench<'_>, circles: &[Circle]) -> Vec<(u32, Percentiles)> {
    let mut points = Vec::new();
    for factor in FACTORS {
        let rate = (f64::from(bench.scale.rate) * factor) as u32;
        bench.display.step(&format!("{}: {rate} messages a second", Scenario::Latency.name()));
        match measure(bench, circles, rate, bench.scale.point).await {
            Ok((tally, _)) => {
                points.extend(tally.end_to_end.percentiles().map(|found| (rate, found)))
            }
            Err(error) => {
                let name = Scenario::Latency.name();
                bench
                    .display
                    .line(&format!("{name}: {rate} messages a second are too many: {error:#}"));
                break;
            }
        }
    }
    points
}

async fn measure(
    bench: &Bench<'_>,
    circles: &[Circle],
    rate: u32,
    duration: Duration,
) -> anyhow::Result<(Tally, ByPart<Usage>)> {
    let ready = OpenLoop { api: &bench.api, circles, rate }.prepare().await?;
    let window = Window::after(bench.scale.warm_up, duration);
    let (tally, usage) = tokio::join!(ready.run(window), window.watch(&bench.stack));
    Ok((tally?, usage))
}
