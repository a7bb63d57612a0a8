//! *Reconnect storm*: all clients drop and come back at once.

use std::sync::Arc;
use std::time::Duration;

use crate::bench::Bench;
use crate::goal::Goal;
use crate::load::idle::IdleClients;
use crate::load::reconnect::{Missed, Storm};
use crate::load::sends::{fill_room, last_seq};
use crate::open_files;
use crate::report::Findings;
use crate::row::{Measured, Row};
use crate::scenario::Scenario;
use crate::setup::Group;
use crate::usage;

/// Messages that are sent to each room while no client is connected.
const MISSED: usize = 3;
const SCENARIO: Scenario = Scenario::ReconnectStorm;

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let clients = bench.scale.connections;
    open_files::ensure_limit(clients)?;
    let groups: Arc<[Group]> = bench.groups().await?.into();
    let mut rounds = Vec::new();
    let (mut failures, mut longest_failure) = (0, Duration::ZERO);
    for round in 0..bench.scale.rounds {
        let missed = disconnect(bench, &groups, round).await?;
        bench.step(SCENARIO, round, "all clients come back");
        let storm = Storm { setup: bench.setup.clone(), groups: groups.clone(), missed };
        let before = usage::by_part(&bench.stack);
        let tally = storm.run(clients).await?;
        let usage = usage::since(&before, usage::by_part(&bench.stack));
        failures += tally.failures;
        longest_failure = longest_failure.max(tally.longest_failure);
        let percentiles = tally.live_after.percentiles();
        let figure = percentiles.map_or(f64::INFINITY, |found| found.max / 1e3);
        let (operations, latencies) = (clients as u64, Some(tally.live_after));
        rounds.push(Measured { figure, operations, latencies, usage });
    }
    let name = format!("{}: {clients} clients", SCENARIO.name());
    let row = Row::new(name, "s until the last is live", &rounds);
    Ok(Findings::from_row(
        row.with_goals([Goal::AtMost(10.0)]).with_note(note(failures, longest_failure)),
    ))
}

/// Connects all clients, drops them, and sends the messages that they miss.
async fn disconnect(
    bench: &Bench<'_>,
    groups: &[Group],
    round: usize,
) -> anyhow::Result<Arc<[Missed]>> {
    let count = bench.scale.connections;
    bench.step(SCENARIO, round, &format!("opening {count} connections"));
    let mut clients = IdleClients::default();
    clients.open(&bench.setup, groups, count).await?;
    let mut missed = Vec::new();
    for group in groups {
        let after_seq = last_seq(&bench.setup, group).await?;
        missed.push(Missed { after_seq, count: MISSED as u64 });
    }
    bench.step(SCENARIO, round, "all clients drop");
    drop(clients);
    for group in groups {
        fill_room(&bench.setup, group, MISSED).await?;
    }
    Ok(missed.into())
}

fn note(failures: u64, longest: Duration) -> String {
    match failures {
        0 => "no attempt failed".to_owned(),
        _ => {
            let seconds = longest.as_secs_f64();
            format!("{failures} attempts failed, all clients live at most {seconds:.1} s later")
        }
    }
}
