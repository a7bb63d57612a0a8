//! Injects faults into a running Parlance and ends them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use parlance_core::Clock;
use parlance_devstack::{Process, Stack};
use tokio::time::sleep;

use super::fault::{DELAY, Fault, NetworkFault, ScheduledFaults};
use super::redis;
use crate::history::FaultRecord;
use crate::misbehaving::{self, Accounts};
use crate::network::{CloseKind, Flow, Proxies};
use crate::topology::{CLIENTS, REPLICAS, Route};

const RESTART_TIMEOUT: Duration = Duration::from_secs(60);

/// Everything that faults are injected into.
#[derive(Clone, Copy)]
pub(crate) struct Injector<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) proxies: &'a Proxies,
    pub(crate) clock: &'a Clock,
    /// `None` if the run has no misbehaving clients.
    pub(crate) accounts: Option<&'a Accounts>,
    pub(crate) gateways: &'a [SocketAddr],
}

/// Injects faults together, waits for their duration and ends them.
pub(crate) async fn inject(
    injector: Injector<'_>,
    scheduled: &ScheduledFaults,
) -> anyhow::Result<FaultRecord> {
    let (name, clock) = (scheduled.to_string(), injector.clock);
    let (faults, duration) = (&scheduled.faults, scheduled.duration);
    let begun_at = clock.now().as_micros();
    let begun = try_join_all(faults.iter().map(|fault| injector.begin(*fault)));
    begun.await.with_context(|| format!("cannot inject: {name}"))?;
    let sustained = try_join_all(faults.iter().map(|fault| injector.sustain(*fault, duration)));
    let breaches = sustained.await.with_context(|| format!("cannot sustain: {name}"))?.concat();
    let ended = try_join_all(faults.iter().map(|fault| injector.end(*fault)));
    ended.await.with_context(|| format!("cannot end: {name}"))?;
    let ended_at = clock.now().as_micros();
    Ok(FaultRecord {
        name,
        begun_at,
        ended_at,
        delays_ends_of_sessions: faults.iter().any(Fault::delays_ends_of_sessions),
        observed_until: i64::MAX,
        breaches,
    })
}

impl Injector<'_> {
    async fn begin(self, fault: Fault) -> anyhow::Result<()> {
        let Self { stack, proxies, .. } = self;
        match fault {
            Fault::Kill { program, index } => stack.process(program, index).kill().await,
            Fault::Pause { program, index } => stack.process(program, index).pause(),
            Fault::KillRedis => stack.redis().process().kill().await,
            Fault::PauseRedis => stack.redis().process().pause(),
            Fault::DropRedisSubscribers => {
                redis::drop_subscribers(&stack.redis().operator_url()).await
            }
            Fault::BreakPublications => redis_routes()
                .try_for_each(|route| proxies.set_flow(route, Flow::BreakPublications)),
            Fault::StopPostgres => stack.postgres().stop_immediately().await,
            Fault::Network { route, fault } => match fault {
                NetworkFault::Stall => proxies.set_flow(route, Flow::Stall),
                NetworkFault::Delay => proxies.set_flow(route, Flow::Delay(DELAY)),
                NetworkFault::Cut(close) => {
                    proxies.set_flow(route, Flow::Refuse)?;
                    proxies.cut(route, close)
                }
            },
            Fault::DropClients => {
                let route_to = |index| Route::between((CLIENTS, 0), ("gateway", index), false);
                let mut routes = (0..REPLICAS).map(route_to);
                routes.try_for_each(|route| proxies.cut(route, CloseKind::Reset))
            }
            Fault::Misbehave(_) => Ok(()),
        }
    }

    /// Waits for the duration of a fault. Returns what misbehaving clients got against the
    /// contract.
    async fn sustain(self, fault: Fault, duration: Duration) -> anyhow::Result<Vec<String>> {
        if let Fault::Misbehave(misbehaviour) = fault {
            let accounts = self.accounts.context("the run has no misbehaving accounts")?;
            return Ok(misbehaving::run(misbehaviour, accounts, self.gateways, duration).await);
        }
        sleep(duration).await;
        Ok(Vec::new())
    }

    async fn end(self, fault: Fault) -> anyhow::Result<()> {
        let Self { stack, proxies, .. } = self;
        let restart = async |process: &Process| process.restart(RESTART_TIMEOUT).await;
        match fault {
            Fault::Kill { program, index } => restart(stack.process(program, index)).await,
            Fault::KillRedis => restart(stack.redis().process()).await,
            Fault::StopPostgres => restart(stack.postgres().process()).await,
            Fault::Pause { program, index } => stack.process(program, index).resume(),
            Fault::PauseRedis => stack.redis().process().resume(),
            Fault::BreakPublications => {
                redis_routes().try_for_each(|route| proxies.set_flow(route, Flow::Pass))
            }
            Fault::Network { route, .. } => proxies.set_flow(route, Flow::Pass),
            Fault::DropRedisSubscribers | Fault::DropClients | Fault::Misbehave(_) => Ok(()),
        }
    }
}

fn redis_routes() -> impl Iterator<Item = Route> {
    (0..REPLICAS).map(|index| Route::between(("messaging", index), ("redis", 0), false))
}
