//! The scenarios that start a private Parlance.

use std::path::Path;

use clap::ValueEnum;
use parlance_devstack::Progress;

use super::measured::Measured;
use super::{hostile, redis_away, slow_readers};
use crate::run::Environment;

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// 1,000 connections that never read, and 100 that must get everything in time
    SlowReaders,
    /// Redis down for a minute, then paused for a minute
    RedisAway,
    /// Abusers, each kind alone and all together, and 100 clients that must not notice them
    Hostile,
}

impl Scenario {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::SlowReaders => "slow-readers",
            Self::RedisAway => "redis-away",
            Self::Hostile => "hostile",
        }
    }

    /// Starts Parlance, measures, and copies the logs to the output folder.
    pub async fn measure(
        self,
        seed: u64,
        output: &Path,
        progress: &Progress,
    ) -> anyhow::Result<Measured> {
        let (stack, measured) = match self {
            Self::SlowReaders => {
                let stack = slow_readers::start().await?;
                let measured = slow_readers::measure(&stack, seed, progress).await;
                (stack, measured)
            }
            Self::RedisAway => {
                let environment = Environment::start(false).await?;
                let measured = redis_away::measure(&environment, seed, progress).await;
                (environment.stack, measured)
            }
            Self::Hostile => {
                let stack = hostile::start().await?;
                let measured = hostile::measure(&stack, progress).await;
                (stack, measured)
            }
        };
        stack.keep_logs(&output.join("logs"))?;
        measured
    }
}
