//! The scenarios: each prepares what it needs, runs its load and its yardstick in turn, and says what it found.

mod sends;

use std::time::Duration;

use clap::ValueEnum;
use parlance_devstack::Stack;
use tokio::time::timeout;

use crate::api::Api;
use crate::progress::Display;
use crate::report::Findings;
use crate::scale::Scale;

/// Far more than any scenario takes: one that hangs is given up.
const DEADLINE: Duration = Duration::from_secs(600);

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Durable sends into one room.
    HotRoom,
    /// Durable sends into many rooms.
    ManyRooms,
}

/// What all scenarios share.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) stack: Stack,
    pub(crate) api: Api,
    pub(crate) scale: Scale,
    pub(crate) display: &'a Display,
}

impl Scenario {
    /// In the order in which they are run.
    pub(crate) const ALL: [Self; 2] = [Self::HotRoom, Self::ManyRooms];

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HotRoom => "hot room",
            Self::ManyRooms => "many rooms",
        }
    }

    /// Runs it; an error when it could not be carried out.
    pub(crate) async fn run(self, bench: &Bench<'_>) -> anyhow::Result<Findings> {
        let running = async {
            match self {
                Self::HotRoom => sends::hot_room(bench).await,
                Self::ManyRooms => sends::many_rooms(bench).await,
            }
        };
        match timeout(DEADLINE, Box::pin(running)).await {
            Ok(findings) => findings,
            Err(_) => anyhow::bail!("not done after {} s", DEADLINE.as_secs()),
        }
    }
}

impl Bench<'_> {
    /// Tells what is being done in a round, counted from 0.
    pub(crate) fn step(&self, scenario: Scenario, round: usize, what: &str) {
        let rounds = self.scale.rounds;
        self.display.step(&format!("{}, round {} of {rounds}: {what}", scenario.name(), round + 1));
    }
}
