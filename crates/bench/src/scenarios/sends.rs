//! *Hot room* and *many rooms*: durable sends a second.

use std::time::Duration;

use super::{Bench, Scenario};
use crate::api::Person;
use crate::load::sends::Sends;
use crate::report::Findings;
use crate::result::{Goal, Measured, Row, Yardstick};
use crate::usage::Window;
use crate::yardsticks::pgbench::Script;

const SENDERS: usize = 50;
const UNIT: &str = "durable sends/s";
/// Half of what was seen on a quiet machine of this kind.
const LEAST_NUMBERED_MESSAGES: f64 = 375.0;
const LEAST_SINGLE_ROWS: f64 = 2_500.0;

pub(super) async fn hot_room(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let circle = bench.api.circle(SENDERS).await?;
    let script = Script::numbered_messages();
    let turns = in_turn(bench, Scenario::HotRoom, &circle.members, &[circle.room], &script).await?;
    let name = "pgbench: begin, number, insert, commit";
    let row = turns.row(Scenario::HotRoom.name(), name, LEAST_NUMBERED_MESSAGES)?;
    Ok(Findings::of(row.with_goals([Goal::RatioAtLeast(8.0), Goal::AtLeast(15_000.0)])))
}

pub(super) async fn many_rooms(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let count = bench.scale.rooms;
    let circle = bench.api.circle(SENDERS).await?;
    let rooms = bench.api.rooms(&circle.members, count).await?;
    let script = Script::single_rows(count);
    let turns = in_turn(bench, Scenario::ManyRooms, &circle.members, &rooms, &script).await?;
    let name = format!("{} ({count})", Scenario::ManyRooms.name());
    let row = turns.row(&name, "pgbench: single-row inserts", LEAST_SINGLE_ROWS)?;
    let mut findings = Findings::of(row.with_goals([Goal::RatioAtLeast(1.5)]));
    for some in [1, 10, 100, 1_000].into_iter().filter(|some| *some <= count) {
        bench.display.step(&format!("{}: {some} of them", Scenario::ManyRooms.name()));
        let (measured, _) =
            measure(bench, &circle.members, &rooms[..some], bench.scale.point).await?;
        findings.curves.rooms.push((some, measured.figure));
    }
    Ok(findings)
}

/// What the rounds gave.
#[derive(Default)]
struct Turns {
    measured: Vec<Measured>,
    /// Sends that were answered with `unavailable`.
    refused: u64,
    yardstick: Vec<f64>,
}

impl Turns {
    fn row(self, name: &str, yardstick: &'static str, least: f64) -> anyhow::Result<Row> {
        let row = Row::new(name, UNIT, &self.measured)?;
        let row = row.beside(Yardstick::new(yardstick, self.yardstick, Some(least)));
        Ok(match self.refused {
            0 => row,
            refused => row.with_note(format!("{refused} sends were answered with `unavailable`")),
        })
    }
}

/// The load and the yardstick, one after the other, in every round.
async fn in_turn(
    bench: &Bench<'_>,
    scenario: Scenario,
    senders: &[Person],
    rooms: &[i64],
    script: &Script,
) -> anyhow::Result<Turns> {
    let mut turns = Turns::default();
    for round in 0..bench.scale.rounds {
        bench.step(scenario, round, "pgbench");
        turns.yardstick.push(script.run(&bench.stack, bench.scale.duration).await?);
        bench.step(scenario, round, "sending");
        let (measured, refused) = measure(bench, senders, rooms, bench.scale.duration).await?;
        turns.measured.push(measured);
        turns.refused += refused;
    }
    Ok(turns)
}

/// A round, and how many sends were answered with `unavailable` in it.
async fn measure(
    bench: &Bench<'_>,
    senders: &[Person],
    rooms: &[i64],
    duration: Duration,
) -> anyhow::Result<(Measured, u64)> {
    let ready = Sends { api: &bench.api, senders, rooms }.prepare().await?;
    let window = Window::after(bench.scale.warm_up, duration);
    let (tally, usage) = tokio::join!(ready.run(window), window.watch(&bench.stack));
    let tally = tally?;
    let measured = Measured {
        figure: tally.acked as f64 / window.length().as_secs_f64(),
        operations: tally.acked,
        latencies: Some(tally.latencies),
        usage,
    };
    Ok((measured, tally.refused))
}
