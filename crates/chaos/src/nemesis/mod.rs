//! The faults: what can be done to a running Parlance, and undone.

mod choice;
mod redis;

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use parlance_devstack::{Process, Stack};
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::clients::World;
use crate::history::FaultRecord;
use crate::misbehaving::{self, Misbehaviour};
use crate::network::{CLIENTS, Flow, Links, Route, Shutdown};
use crate::plan::{REPLICAS, Scheduled};

pub(crate) use self::choice::{Extent, round};

/// The parts of Parlance, by the names of their programs.
pub(crate) const PARTS: [&str; 5] = ["gateway", "auth", "contacts", "rooms", "messaging"];
const RESTART_DEADLINE: Duration = Duration::from_secs(60);
/// How much later everything comes on a way that is slow: far more than between two ends of a
/// continent, and far less than any deadline.
const DELAY: Duration = Duration::from_millis(300);

/// Something that goes wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL; started again at the end.
    Kill { part: &'static str, index: usize },
    /// SIGSTOP; SIGCONT at the end.
    Pause { part: &'static str, index: usize },
    /// SIGKILL; started again, empty, at the end.
    KillRedis,
    /// SIGSTOP; SIGCONT at the end.
    PauseRedis,
    /// `CLIENT KILL TYPE pubsub`: over at once.
    CutSubscribersOfRedis,
    /// Every connection to Redis ends in the midst of the next publication that it carries.
    BreakPublications,
    /// What `pg_ctl stop -m immediate` does; started again, with recovery, at the end.
    StopPostgres,
    /// A way between two parts does not do what it should.
    Hinder { route: Route, hindrance: Hindrance },
    /// All clients lose their connections in the same instant, and come back: over at once.
    CutEverybody,
    /// Bad clients, at every gateway.
    Misbehave(Misbehaviour),
}

/// What happens on a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hindrance {
    Stall,
    Cut(Shutdown),
    Delay,
}

/// What faults are done to.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) links: &'a Links,
    pub(crate) world: &'a World,
}

impl Fault {
    /// Whether it takes bad clients.
    pub(crate) fn is_by_clients(&self) -> bool {
        matches!(self, Self::Misbehave(_))
    }

    /// How long it lasts, at least.
    pub(crate) fn duration(self, rng: &mut StdRng, extent: Extent) -> Duration {
        let longest = match extent {
            Extent::Sample => 2_500,
            Extent::Everything => 4_000,
        };
        match self {
            Self::CutSubscribersOfRedis | Self::CutEverybody => Duration::ZERO,
            Self::Kill { .. } => Duration::from_millis(rng.random_range(200..1_500)),
            Self::Misbehave(misbehaviour) => misbehaviour.duration(),
            _ => Duration::from_millis(rng.random_range(1_000..longest)),
        }
    }

    async fn begin(self, ground: Ground<'_>) -> anyhow::Result<()> {
        let Ground { stack, links, .. } = ground;
        match self {
            Self::Kill { part, index } => stack.process(part, index).kill().await,
            Self::Pause { part, index } => stack.process(part, index).pause(),
            Self::KillRedis => stack.redis().process().kill().await,
            Self::PauseRedis => stack.redis().process().pause(),
            Self::CutSubscribersOfRedis => {
                redis::cut_subscribers(&stack.redis().operator_url()).await
            }
            Self::BreakPublications => {
                ways_to_redis().try_for_each(|route| links.set(route, Flow::BreakPublications))
            }
            Self::StopPostgres => stack.postgres().stop_immediately().await,
            Self::Hinder { route, hindrance } => hindrance.begin(links, route),
            Self::CutEverybody => {
                ways_of_clients().try_for_each(|route| links.cut(route, Shutdown::Reset))
            }
            Self::Misbehave(_) => Ok(()),
        }
    }

    /// Goes on with it until it is to end; what was answered to bad clients that must not be.
    async fn last(self, ground: Ground<'_>, lasts: Duration) -> anyhow::Result<Vec<String>> {
        if let Self::Misbehave(misbehaviour) = self {
            return misbehaving::act(misbehaviour, ground.world, lasts).await;
        }
        sleep(lasts).await;
        Ok(Vec::new())
    }

    async fn end(self, ground: Ground<'_>) -> anyhow::Result<()> {
        let Ground { stack, links, .. } = ground;
        let restart = async |process: &Process| process.restart(RESTART_DEADLINE).await;
        match self {
            Self::Kill { part, index } => restart(stack.process(part, index)).await,
            Self::KillRedis => restart(stack.redis().process()).await,
            Self::StopPostgres => restart(stack.postgres().process()).await,
            Self::Pause { part, index } => stack.process(part, index).resume(),
            Self::PauseRedis => stack.redis().process().resume(),
            Self::BreakPublications => {
                ways_to_redis().try_for_each(|route| links.set(route, Flow::Pass))
            }
            Self::Hinder { route, .. } => links.set(route, Flow::Pass),
            Self::CutSubscribersOfRedis | Self::CutEverybody | Self::Misbehave(_) => Ok(()),
        }
    }
}

impl Hindrance {
    fn begin(self, links: &Links, route: Route) -> anyhow::Result<()> {
        match self {
            Self::Stall => links.set(route, Flow::Stall),
            Self::Delay => links.set(route, Flow::Delay(DELAY)),
            Self::Cut(ending) => {
                links.set(route, Flow::Refuse)?;
                links.cut(route, ending)
            }
        }
    }
}

fn ways_to_redis() -> impl Iterator<Item = Route> {
    (0..REPLICAS).map(|index| Route {
        caller: "messaging",
        caller_index: Some(index),
        callee: "redis",
        callee_index: None,
    })
}

fn ways_of_clients() -> impl Iterator<Item = Route> {
    (0..REPLICAS).map(|index| Route {
        caller: CLIENTS,
        caller_index: None,
        callee: "gateway",
        callee_index: Some(index),
    })
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { part, index } => write!(f, "{part} {} killed and restarted", index + 1),
            Self::Pause { part, index } => write!(f, "{part} {} paused", index + 1),
            Self::KillRedis => f.write_str("Redis killed and restarted empty"),
            Self::PauseRedis => f.write_str("Redis paused"),
            Self::CutSubscribersOfRedis => f.write_str("Redis cuts its subscribers"),
            Self::BreakPublications => f.write_str("Redis lost in the midst of publications"),
            Self::StopPostgres => f.write_str("Postgres stopped immediately and restarted"),
            Self::Hinder { route, hindrance } => write!(f, "{route} {hindrance}"),
            Self::CutEverybody => f.write_str("all clients cut at once"),
            Self::Misbehave(misbehaviour) => write!(f, "{misbehaviour}"),
        }
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stall => f.write_str("stalled"),
            Self::Cut(Shutdown::Close) => f.write_str("cut (FIN)"),
            Self::Cut(Shutdown::Reset) => f.write_str("cut (RST)"),
            Self::Delay => write!(f, "slower by {} ms", DELAY.as_millis()),
        }
    }
}

/// Injects faults together and ends them.
pub(crate) async fn inject(
    ground: Ground<'_>,
    scheduled: &Scheduled,
) -> anyhow::Result<FaultRecord> {
    let (name, clock) = (scheduled.to_string(), &ground.world.clock);
    let faults = &scheduled.faults;
    let begun_at = clock.now().as_micros();
    let beginning = try_join_all(faults.iter().map(|fault| fault.begin(ground)));
    beginning.await.with_context(|| format!("cannot begin: {name}"))?;
    let lasting = try_join_all(faults.iter().map(|fault| fault.last(ground, scheduled.lasts)));
    let breaches = lasting.await.with_context(|| format!("cannot go on with: {name}"))?.concat();
    let ending = try_join_all(faults.iter().map(|fault| fault.end(ground)));
    ending.await.with_context(|| format!("cannot end: {name}"))?;
    let ended_at = clock.now().as_micros();
    Ok(FaultRecord { name, begun_at, ended_at, observed_until: i64::MAX, breaches })
}
