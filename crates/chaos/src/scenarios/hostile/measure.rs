//! Runs the phases of the scenario.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parlance_devstack::{Progress, Stack};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::abuser::Abuser;
use super::ordinary::{Tally, chat};
use super::report::report;
use super::setup::{Place, create};
use crate::run::usage;
use crate::scenarios::Measured;

pub(super) const GATEWAY: &str = "gateway";
pub(super) const MAX_QUEUED_BYTES_TOTAL: u64 = 64 << 20;
/// Each log-in costs as much as a small machine can bear.
const BCRYPT_COST: &str = "10";
const PHASE: Duration = Duration::from_secs(15);
/// Between two phases. Log-ins and sends of the abusers that are queued are over by then.
const CALM: Duration = Duration::from_secs(3);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);

/// A phase and what ordinary clients saw in it.
pub(super) struct Phase {
    pub(super) abusers: Vec<Abuser>,
    pub(super) tally: Tally,
    /// The most resident memory of the gateway, in bytes.
    pub(super) memory: u64,
}

/// Starts one replica of each program.
pub(crate) async fn start() -> anyhow::Result<Stack> {
    Stack::builder()
        .environment("auth", "BCRYPT_COST", BCRYPT_COST)
        .environment(GATEWAY, "MAX_QUEUED_BYTES_TOTAL", &MAX_QUEUED_BYTES_TOTAL.to_string())
        .durable()
        .start()
        .await
}

pub(crate) async fn measure(stack: &Stack, progress: &Progress) -> anyhow::Result<Measured> {
    progress.line("creating users and rooms");
    let place = create(stack, stack.address(GATEWAY, 0)).await;
    let place = place.context("cannot create the users and rooms")?;
    let alone = Abuser::ALL.map(|abuser| vec![abuser]);
    let together = [Abuser::ALL.to_vec()];
    let mut phases = Vec::new();
    for abusers in [Vec::new()].into_iter().chain(alone).chain(together) {
        progress.line(&format!("abusers: {abusers:?}"));
        phases.push(run_phase(stack, &place, abusers).await?);
        sleep(CALM).await;
    }
    Ok(report(&phases))
}

async fn run_phase(
    stack: &Stack,
    place: &Arc<Place>,
    abusers: Vec<Abuser>,
) -> anyhow::Result<Phase> {
    let until = Instant::now() + PHASE;
    let mut running = JoinSet::new();
    for abuser in &abusers {
        running.spawn(abuser.run(place.clone(), until));
    }
    let mut memory = 0;
    let sampling = async {
        loop {
            memory = memory.max(usage(stack, GATEWAY, 0).await?.memory);
            sleep(SAMPLE_INTERVAL).await;
        }
    };
    let tally = tokio::select! {
        tally = chat(place, until) => tally?,
        error = sampling => return error,
    };
    running.shutdown().await;
    Ok(Phase { abusers, tally, memory })
}
