//! Looks at what every process of Parlance holds, before, during and after a run.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::join_all;
use parlance_core::Clock;
use parlance_devstack::Stack;
use tokio::time::{sleep, timeout};

use crate::checker;
use crate::history::{Footprint, Sample, Stage, Usage};
use crate::nemesis::PARTS;
use crate::plan::REPLICAS;

/// Between two looks while clients are at work.
const INTERVAL: Duration = Duration::from_secs(2);
/// A process that is paused gives no sample under load; before and after, nobody is.
const LOAD_DEADLINE: Duration = Duration::from_millis(500);
const QUIET_DEADLINE: Duration = Duration::from_secs(5);
/// How long processes may take to give back what the clients have left behind.
const RETURN_LIMIT: Duration = Duration::from_secs(15);
const RETURN_PAUSE: Duration = Duration::from_millis(500);

/// Collects the footprints of all processes.
pub(crate) struct Observer<'a> {
    stack: &'a Stack,
    clock: Clock,
    processes: Vec<(&'static str, usize)>,
    /// In the order of the processes.
    footprints: Vec<Footprint>,
}

impl<'a> Observer<'a> {
    /// Knows all processes; nobody has been looked at.
    pub(crate) fn new(stack: &'a Stack) -> Self {
        let replicas = |part| (0..REPLICAS).map(move |index| (part, index));
        let processes: Vec<_> = PARTS.into_iter().flat_map(replicas).collect();
        let footprint = |(part, index): &(&str, usize)| Footprint {
            process: stack.process(part, *index).name().to_owned(),
            samples: Vec::new(),
        };
        let footprints = processes.iter().map(footprint).collect();
        Self { stack, clock: Clock::system(), processes, footprints }
    }

    /// Takes a sample of every process that answers.
    pub(crate) async fn look(&mut self, stage: Stage) {
        let stack = self.stack;
        let deadline = if stage == Stage::Load { LOAD_DEADLINE } else { QUIET_DEADLINE };
        let looking = self.processes.iter().map(|(part, index)| async {
            let incarnation = stack.process(part, *index).id()?;
            let usage = timeout(deadline, usage(stack, part, *index)).await.ok()?.ok()?;
            Some((incarnation, usage))
        });
        let seen = join_all(looking).await;
        let at = self.clock.now().as_micros();
        for (footprint, seen) in self.footprints.iter_mut().zip(seen) {
            footprint.samples.extend(seen.map(|(incarnation, usage)| Sample {
                at,
                stage,
                incarnation,
                usage,
            }));
        }
    }

    /// Looks for as long as it is let, while clients are at work.
    pub(crate) async fn look_forever(&mut self) -> Infallible {
        loop {
            self.look(Stage::Load).await;
            sleep(INTERVAL).await;
        }
    }

    /// Looks after everybody has left, until nobody holds more than it should, or no longer may.
    pub(crate) async fn look_until_returned(&mut self) {
        let begin = Instant::now();
        loop {
            self.look(Stage::End).await;
            if self.footprints.iter().all(checker::has_returned) || begin.elapsed() > RETURN_LIMIT {
                return;
            }
            sleep(RETURN_PAUSE).await;
        }
    }

    /// What was seen.
    pub(crate) fn into_footprints(self) -> Vec<Footprint> {
        self.footprints
    }
}

/// What a process says that it holds.
pub(crate) async fn usage(stack: &Stack, part: &str, index: usize) -> anyhow::Result<Usage> {
    let metrics = stack.metrics(part, index).await?;
    Ok(Usage {
        tasks: metric(&metrics, "parlance_process_tasks").context("no number of tasks")?,
        descriptors: metric(&metrics, "process_open_fds").context("no number of descriptors")?,
        memory: metric(&metrics, "process_resident_memory_bytes").context("no figure of memory")?,
    })
}

/// The value of a metric that has one time series; nothing if it has never been set.
pub(crate) fn metric(metrics: &str, name: &str) -> Option<u64> {
    let is_named =
        |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    let value = metrics.lines().find(is_named)?.rsplit(' ').next()?.parse::<f64>().ok()?;
    // None that is asked for is negative, or has a fraction.
    Some(value as u64)
}
