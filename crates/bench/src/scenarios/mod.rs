//! The scenarios: each prepares what it needs, runs its load and its yardstick in turn, and says
//! what it found.

mod fan_out;
mod herd;
mod idle;
mod latency;
mod login;
mod reads;
mod sends;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use parlance_devstack::Stack;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::api::{Api, Circle};
use crate::progress::Display;
use crate::report::Findings;
use crate::scale::Scale;
use crate::yardsticks::pgbench;

/// Far more than any scenario takes: one that hangs is given up.
const DEADLINE: Duration = Duration::from_secs(600);

const RESTART_DEADLINE: Duration = Duration::from_secs(60);

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Durable sends into one room.
    HotRoom,
    /// Durable sends into many rooms.
    ManyRooms,
    /// Deliveries to very many in one room.
    FanOut,
    /// How long messages take at a steady rate.
    Latency,
    /// What is asked for over HTTP.
    Reads,
    /// What open connections take.
    Idle,
    /// Very many come back at once.
    Herd,
    /// Log-ins, and messages during a flood of them.
    Login,
}

/// What the hash of a password costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passwords {
    /// As little as possible, so that thousands of people can be made.
    Cheap,
    /// What they cost by default.
    Default,
}

impl Passwords {
    /// Of the folder with the logs of its stack.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cheap => "cheap-passwords",
            Self::Default => "default-passwords",
        }
    }
}

/// What scenarios on the same stack share.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) stack: Stack,
    pub(crate) api: Arc<Api>,
    replicas: usize,
    pub(crate) scale: Scale,
    pub(crate) display: &'a Display,
    crowd: OnceCell<Vec<Circle>>,
}

/// People in a room of the crowd.
const CIRCLE: usize = 20;

impl Scenario {
    /// In the order in which they are run.
    pub(crate) const ALL: [Self; 8] = [
        Self::HotRoom,
        Self::ManyRooms,
        Self::FanOut,
        Self::Latency,
        Self::Reads,
        Self::Idle,
        Self::Herd,
        Self::Login,
    ];

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HotRoom => "hot room",
            Self::ManyRooms => "many rooms",
            Self::FanOut => "fan-out",
            Self::Latency => "latency",
            Self::Reads => "reads",
            Self::Idle => "idle",
            Self::Herd => "herd",
            Self::Login => "login",
        }
    }

    /// What passwords cost in the stack that it runs on.
    pub(crate) fn passwords(self) -> Passwords {
        if self == Self::Login { Passwords::Default } else { Passwords::Cheap }
    }

    /// Runs it; an error when it could not be carried out.
    pub(crate) async fn run(self, bench: &Bench<'_>) -> anyhow::Result<Findings> {
        let running = async {
            bench.display.step(&format!("{}: letting Postgres settle", self.name()));
            pgbench::settle(&bench.stack).await?;
            match self {
                Self::HotRoom => sends::hot_room(bench).await,
                Self::ManyRooms => sends::many_rooms(bench).await,
                Self::FanOut => fan_out::run(bench).await,
                Self::Latency => latency::run(bench).await,
                Self::Reads => reads::run(bench).await,
                Self::Idle => idle::run(bench).await,
                Self::Herd => herd::run(bench).await,
                Self::Login => login::run(bench).await,
            }
        };
        match timeout(DEADLINE, Box::pin(running)).await {
            Ok(findings) => findings,
            Err(_) => bail!("not done after {} s", DEADLINE.as_secs()),
        }
    }
}

impl<'a> Bench<'a> {
    /// Starts a stack, in its default configuration save for the cost of passwords.
    pub(crate) async fn start(
        passwords: Passwords,
        replicas: usize,
        scale: Scale,
        display: &'a Display,
    ) -> anyhow::Result<Self> {
        let stack = Stack::builder().replicas(replicas).gateways(replicas).durable();
        let (stack, at_once) = match passwords {
            Passwords::Cheap => (stack, 16),
            Passwords::Default => {
                (stack.environment("auth", "BCRYPT_COST", &login::COST.to_string()), 2)
            }
        };
        let stack = stack.start().await?;
        pgbench::prepare(stack.postgres()).await.context("cannot prepare the yardsticks")?;
        display.step("filling the log of Postgres");
        pgbench::fill_log(stack.postgres()).await.context("cannot fill the log of Postgres")?;
        let api = Arc::new(Api::of(&stack, replicas, at_once)?);
        Ok(Self { stack, api, replicas, scale, display, crowd: OnceCell::new() })
    }

    /// Starts all gateways anew.
    async fn restart_gateways(&self) -> anyhow::Result<()> {
        for index in 0..self.replicas {
            let gateway = self.stack.process("gateway", index);
            gateway.terminate()?;
            gateway.wait(RESTART_DEADLINE).await?;
            gateway.restart(RESTART_DEADLINE).await?;
        }
        Ok(())
    }

    /// Many people in rooms of their own, made when the first scenario asks for them.
    async fn crowd(&self) -> anyhow::Result<&[Circle]> {
        let crowd = self.crowd.get_or_try_init(async || {
            let mut circles = Vec::new();
            for number in 0..self.scale.circles {
                self.display.step(&format!(
                    "making {} of {} rooms",
                    number + 1,
                    self.scale.circles
                ));
                circles.push(self.api.circle(CIRCLE).await?);
            }
            anyhow::Ok(circles)
        });
        Ok(crowd.await?)
    }

    /// Tells what is being done in a round, counted from 0.
    pub(crate) fn step(&self, scenario: Scenario, round: usize, what: &str) {
        let rounds = self.scale.rounds;
        self.display.step(&format!("{}, round {} of {rounds}: {what}", scenario.name(), round + 1));
    }
}
