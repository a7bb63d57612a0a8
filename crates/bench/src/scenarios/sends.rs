//! *Hot room* and *many rooms*: durable sends a second.

use std::time::Duration;

use parlance_client::Account;
use parlance_measure::Scale;

use crate::baselines::pgbench::Script;
use crate::bench::Bench;
use crate::curve::Curve;
use crate::goal::Goal;
use crate::load::sends::Ready;
use crate::report::Findings;
use crate::row::{Baseline, Measured, Row};
use crate::scenario::Scenario;

const SENDERS: usize = 50;
const UNIT: &str = "durable sends/s";
/// Half of what a quiet machine with two cores reaches.
const MIN_NUMBERED_MESSAGES: f64 = 375.0;
const MIN_SINGLE_ROWS: f64 = 2_500.0;

pub(super) async fn hot_room(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let group = bench.setup.group(SENDERS).await?;
    let script = Script::numbered_messages();
    let rounds = run(bench, Scenario::HotRoom, &group.members, &[group.room], &script).await?;
    let baseline = "pgbench: begin, number, insert, commit";
    let row = rounds.into_row(Scenario::HotRoom.name(), baseline, MIN_NUMBERED_MESSAGES);
    Ok(Findings::from_row(row.with_goals([Goal::RatioAtLeast(8.0), Goal::AtLeast(15_000.0)])))
}

pub(super) async fn many_rooms(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let count = bench.scale.rooms;
    let group = bench.setup.group(SENDERS).await?;
    let rooms = bench.setup.rooms(&group.members, count).await?;
    let script = Script::single_rows(count);
    let rounds = run(bench, Scenario::ManyRooms, &group.members, &rooms, &script).await?;
    let name = Scenario::ManyRooms.name();
    let baseline = "pgbench: single-row inserts";
    let row = rounds.into_row(&format!("{name} ({count})"), baseline, MIN_SINGLE_ROWS);
    let mut findings = Findings::from_row(row.with_goals([Goal::RatioAtLeast(1.5)]));
    let mut points = Vec::new();
    for some in [1, 10, 100, 1_000].into_iter().filter(|some| *some <= count) {
        bench.progress.step(&format!("{name}: {some} of them"));
        let (measured, _) =
            measure(bench, &group.members, &rooms[..some], bench.scale.point).await?;
        points.push((some as f64, measured.figure));
    }
    findings.curves.push(Curve {
        file: "rooms.svg",
        title: "Throughput over rooms",
        x: "rooms",
        y: "durable sends a second",
        scales: (Scale::Log, Scale::Linear),
        lines: vec![("sends", points)],
    });
    Ok(findings)
}

/// The figures of all rounds.
#[derive(Default)]
struct Rounds {
    measured: Vec<Measured>,
    /// Sends that were answered with `unavailable`.
    unavailable: u64,
    baseline: Vec<f64>,
}

impl Rounds {
    fn into_row(self, name: &str, baseline: &'static str, minimum: f64) -> Row {
        let row = Row::new(name, UNIT, &self.measured);
        let row = row.with_baseline(Baseline::new(baseline, self.baseline, Some(minimum)));
        match self.unavailable {
            0 => row,
            count => row.with_note(format!("{count} sends were answered with `unavailable`")),
        }
    }
}

/// Runs the baseline and the load in turn.
async fn run(
    bench: &Bench<'_>,
    scenario: Scenario,
    senders: &[Account],
    rooms: &[i64],
    script: &Script,
) -> anyhow::Result<Rounds> {
    let mut rounds = Rounds::default();
    for round in 0..bench.scale.rounds {
        bench.step(scenario, round, "pgbench");
        rounds.baseline.push(script.run(&bench.stack, bench.scale.duration).await?);
        bench.step(scenario, round, "sending");
        let (measured, unavailable) = measure(bench, senders, rooms, bench.scale.duration).await?;
        rounds.measured.push(measured);
        rounds.unavailable += unavailable;
    }
    Ok(rounds)
}

/// Returns a round, and how many of its sends were answered with `unavailable`.
async fn measure(
    bench: &Bench<'_>,
    senders: &[Account],
    rooms: &[i64],
    duration: Duration,
) -> anyhow::Result<(Measured, u64)> {
    let ready = Ready::connect(&bench.setup, senders, rooms).await?;
    let (tally, usage) = bench.measure(duration, |window| ready.run(window)).await?;
    let measured = Measured {
        figure: tally.acked as f64 / duration.as_secs_f64(),
        operations: tally.acked,
        latencies: Some(tally.latencies),
        usage,
    };
    Ok((measured, tally.unavailable))
}
