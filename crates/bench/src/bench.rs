//! What the scenarios on one stack share.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parlance_devstack::Progress;
use parlance_devstack::Stack;
use tokio::sync::OnceCell;

use crate::baselines::pgbench;
use crate::baselines::process::Server;
use crate::scale::Scale;
use crate::scenario::{PasswordCost, Scenario};
use crate::setup::{Group, Setup};
use crate::usage::{self, ByPart, Usage, Window};

const RESTART_TIMEOUT: Duration = Duration::from_secs(60);
/// The default of the services.
pub(crate) const DEFAULT_PASSWORD_COST: u32 = 12;
/// The members of each group of [`Bench::groups`].
pub(crate) const GROUP_SIZE: usize = 20;

/// A stack and what has been created in it.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) stack: Stack,
    pub(crate) setup: Arc<Setup>,
    replicas: usize,
    pub(crate) scale: Scale,
    pub(crate) progress: &'a Progress,
    groups: OnceCell<Vec<Group>>,
}

impl<'a> Bench<'a> {
    /// Starts a stack in the default configuration, except for the cost of passwords and the limit
    /// on log-ins from an address.
    pub(crate) async fn start(
        cost: PasswordCost,
        replicas: usize,
        scale: Scale,
        progress: &'a Progress,
    ) -> anyhow::Result<Self> {
        let stack = Stack::builder().replicas(replicas).gateways(replicas).durable();
        let (stack, concurrency) = match cost {
            PasswordCost::Minimal => (stack, 16),
            PasswordCost::Default => {
                let cost = DEFAULT_PASSWORD_COST.to_string();
                (stack.environment("auth", "BCRYPT_COST", &cost), 2)
            }
        };
        let stack = stack.start().await?;
        pgbench::create_tables(stack.postgres()).await.context("cannot create the tables")?;
        progress.step("filling the WAL of Postgres");
        pgbench::fill_wal(stack.postgres()).await.context("cannot fill the WAL of Postgres")?;
        let setup = Arc::new(Setup::new(&stack, replicas, concurrency));
        Ok(Self { stack, setup, replicas, scale, progress, groups: OnceCell::new() })
    }

    /// Restarts all gateways.
    pub(crate) async fn restart_gateways(&self) -> anyhow::Result<()> {
        for index in 0..self.replicas {
            let gateway = self.stack.process("gateway", index);
            gateway.terminate()?;
            gateway.wait(RESTART_TIMEOUT).await?;
            gateway.restart(RESTART_TIMEOUT).await?;
        }
        Ok(())
    }

    /// Returns groups that several scenarios share. The first call creates them.
    pub(crate) async fn groups(&self) -> anyhow::Result<&[Group]> {
        let count = self.scale.groups;
        let groups = self.groups.get_or_try_init(async || {
            let mut groups = Vec::new();
            for number in 1..=count {
                self.progress.step(&format!("creating room {number} of {count}"));
                groups.push(self.setup.group(GROUP_SIZE).await?);
            }
            anyhow::Ok(groups)
        });
        Ok(groups.await?)
    }

    /// Runs a load in a window after the warm-up. Returns its result, and what each part of the
    /// stack used in the window.
    pub(crate) async fn measure<T>(
        &self,
        duration: Duration,
        load: impl AsyncFnOnce(Window) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, ByPart<Usage>)> {
        self.measure_with(duration, load, || usage::by_part(&self.stack)).await
    }

    /// Runs a load on a baseline in a process of its own, like [`measure`](Self::measure).
    pub(crate) async fn measure_baseline<T>(
        &self,
        server: &Server,
        duration: Duration,
        load: impl AsyncFnOnce(Window) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, ByPart<Usage>)> {
        self.measure_with(duration, load, || usage::process(server.id)).await
    }

    async fn measure_with<T>(
        &self,
        duration: Duration,
        load: impl AsyncFnOnce(Window) -> anyhow::Result<T>,
        read: impl Fn() -> ByPart<Usage>,
    ) -> anyhow::Result<(T, ByPart<Usage>)> {
        let window = Window::after(self.scale.warm_up, duration);
        let (result, usage) = tokio::join!(load(window), window.watch(read));
        Ok((result?, usage))
    }

    /// Shows what is done in a round, counted from 0.
    pub(crate) fn step(&self, scenario: Scenario, round: usize, what: &str) {
        let (name, rounds) = (scenario.name(), self.scale.rounds);
        self.progress.step(&format!("{name}, round {} of {rounds}: {what}", round + 1));
    }
}
