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
    let (rounds, figures) =
        in_turn(bench, Scenario::HotRoom, &circle.members, &[circle.room], &script).await?;
    let name = "pgbench: begin, number, insert, commit";
    let yardstick = Yardstick::new(name, figures, Some(LEAST_NUMBERED_MESSAGES));
    let row = Row::new(Scenario::HotRoom.name(), UNIT, &rounds)?.beside(yardstick);
    Ok(Findings::of(row.with_goals([Goal::RatioAtLeast(8.0), Goal::AtLeast(15_000.0)])))
}

pub(super) async fn many_rooms(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let count = bench.scale.rooms;
    let circle = bench.api.circle(SENDERS).await?;
    let rooms = bench.api.rooms(&circle.members, count).await?;
    let script = Script::single_rows(count);
    let (rounds, figures) = in_turn(bench, Scenario::ManyRooms, &circle.members, &rooms, &script).await?;
    let yardstick = Yardstick::new("pgbench: single-row inserts", figures, Some(LEAST_SINGLE_ROWS));
    let row = Row::new(format!("{} ({count})", Scenario::ManyRooms.name()), UNIT, &rounds)?.beside(yardstick);
    let mut findings = Findings::of(row.with_goals([Goal::RatioAtLeast(1.5)]));
    for some in [1, 10, 100, 1_000].into_iter().filter(|some| *some <= count) {
        bench.display.step(&format!("{}: {some} of them", Scenario::ManyRooms.name()));
        let measured = measure(bench, &circle.members, &rooms[..some], bench.scale.point).await?;
        findings.curves.rooms.push((some, measured.figure));
    }
    Ok(findings)
}

/// The load and the yardstick, one after the other, in every round.
async fn in_turn(
    bench: &Bench<'_>,
    scenario: Scenario,
    senders: &[Person],
    rooms: &[i64],
    script: &Script,
) -> anyhow::Result<(Vec<Measured>, Vec<f64>)> {
    let (mut rounds, mut yardstick) = (Vec::new(), Vec::new());
    for round in 0..bench.scale.rounds {
        bench.step(scenario, round, "pgbench");
        yardstick.push(script.run(&bench.stack, bench.scale.duration).await?);
        bench.step(scenario, round, "sending");
        rounds.push(measure(bench, senders, rooms, bench.scale.duration).await?);
    }
    Ok((rounds, yardstick))
}

async fn measure(
    bench: &Bench<'_>,
    senders: &[Person],
    rooms: &[i64],
    duration: Duration,
) -> anyhow::Result<Measured> {
    let ready = Sends { api: &bench.api, senders, rooms }.prepare().await?;
    let window = Window::after(bench.scale.warm_up, duration);
    let (tally, usage) = tokio::join!(ready.run(window), window.watch(&bench.stack));
    let tally = tally?;
    Ok(Measured {
        figure: tally.acked as f64 / window.length().as_secs_f64(),
        operations: tally.acked,
        latencies: Some(tally.latencies),
        usage,
    })
}
