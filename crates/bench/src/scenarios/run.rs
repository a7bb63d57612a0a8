//! Runs a scenario by its name.

use std::time::Duration;

use anyhow::Context;
use tokio::time::timeout;

use super::{fan_out, growth, idle, latency, login, reads, reconnect, sends};
use crate::baselines::pgbench;
use crate::bench::Bench;
use crate::report::Findings;
use crate::scenario::Scenario;

/// Far longer than any other scenario than *growth* takes.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Filling the tables takes most of the time.
const GROWTH_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Returns an error if the scenario could not be measured.
pub(crate) async fn run(scenario: Scenario, bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let running = async {
        bench.progress.step(&format!("{}: letting Postgres settle", scenario.name()));
        pgbench::settle(&bench.stack).await?;
        match scenario {
            Scenario::HotRoom => sends::hot_room(bench).await,
            Scenario::ManyRooms => sends::many_rooms(bench).await,
            Scenario::FanOut => fan_out::run(bench).await,
            Scenario::Latency => latency::run(bench).await,
            Scenario::Reads => reads::run(bench).await,
            Scenario::Idle => idle::run(bench).await,
            Scenario::ReconnectStorm => reconnect::run(bench).await,
            Scenario::Growth => growth::run(bench).await,
            Scenario::Login => login::run(bench).await,
        }
    };
    let limit = if scenario == Scenario::Growth { GROWTH_TIMEOUT } else { TIMEOUT };
    let finished = timeout(limit, Box::pin(running)).await;
    finished.with_context(|| format!("not finished after {} s", limit.as_secs()))?
}
