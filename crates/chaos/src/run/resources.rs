//! Samples the resources of every process before, during and after a run.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::join_all;
use parlance_core::Clock;
use parlance_devstack::Stack;
use tokio::time::{sleep, timeout};

use crate::checker;
use crate::history::{Footprint, Sample, Stage, Usage};
use crate::topology::{PROGRAMS, REPLICAS};

/// Time between two samples under load.
const LOAD_INTERVAL: Duration = Duration::from_secs(2);
/// Under load a paused process gives no sample. Before and after no process is paused.
const LOAD_TIMEOUT: Duration = Duration::from_millis(500);
const QUIET_TIMEOUT: Duration = Duration::from_secs(5);
/// Time within which processes must give back the resources of clients.
const RETURN_TIMEOUT: Duration = Duration::from_secs(15);
const RETURN_INTERVAL: Duration = Duration::from_millis(500);

/// Collects the footprints of all processes.
pub(super) struct ResourceMonitor<'a> {
    stack: &'a Stack,
    clock: Clock,
    processes: Vec<(&'static str, usize)>,
    /// In the order of the processes.
    footprints: Vec<Footprint>,
}

impl<'a> ResourceMonitor<'a> {
    /// Without samples yet.
    pub(super) fn new(stack: &'a Stack) -> Self {
        let replicas = |program| (0..REPLICAS).map(move |index| (program, index));
        let processes: Vec<_> = PROGRAMS.into_iter().flat_map(replicas).collect();
        let footprint = |(program, index): &(&str, usize)| Footprint {
            process: stack.process(program, *index).name().to_owned(),
            samples: Vec::new(),
        };
        let footprints = processes.iter().map(footprint).collect();
        Self { stack, clock: Clock::system(), processes, footprints }
    }

    /// Takes a sample of every process that answers.
    pub(super) async fn sample(&mut self, stage: Stage) {
        let stack = self.stack;
        let max_duration = if stage == Stage::Load { LOAD_TIMEOUT } else { QUIET_TIMEOUT };
        let reading = self.processes.iter().map(|(program, index)| async {
            let incarnation = stack.process(program, *index).id()?;
            let usage = timeout(max_duration, usage(stack, program, *index)).await.ok()?.ok()?;
            Some((incarnation, usage))
        });
        let samples = join_all(reading).await;
        let at = self.clock.now().as_micros();
        for (footprint, sample) in self.footprints.iter_mut().zip(samples) {
            let sample =
                sample.map(|(incarnation, usage)| Sample { at, stage, incarnation, usage });
            footprint.samples.extend(sample);
        }
    }

    /// Takes samples until it is cancelled.
    pub(super) async fn sample_forever(&mut self) -> Infallible {
        loop {
            self.sample(Stage::Load).await;
            sleep(LOAD_INTERVAL).await;
        }
    }

    /// Takes samples until every process has returned what it must, or the timeout is over.
    pub(super) async fn sample_until_returned(&mut self) {
        let begin = Instant::now();
        loop {
            self.sample(Stage::End).await;
            let is_returned = self.footprints.iter().all(checker::is_returned);
            if is_returned || begin.elapsed() > RETURN_TIMEOUT {
                return;
            }
            sleep(RETURN_INTERVAL).await;
        }
    }

    /// The samples.
    pub(super) fn into_footprints(self) -> Vec<Footprint> {
        self.footprints
    }
}

/// Returns the resources that a process reports in its metrics.
pub(crate) async fn usage(stack: &Stack, program: &str, index: usize) -> anyhow::Result<Usage> {
    let metrics = stack.metrics(program, index).await?;
    let read = |name: &str| metric(&metrics, name).with_context(|| format!("no metric {name}"));
    Ok(Usage {
        tasks: read("parlance_process_tasks")?,
        descriptors: read("process_open_fds")?,
        memory: read("process_resident_memory_bytes")?,
    })
}

/// Returns the value of a metric with one time series, or `None` if it was never set. The metric
/// must be a natural number.
pub(crate) fn metric(metrics: &str, name: &str) -> Option<u64> {
    let has_name =
        |line: &&str| line.strip_prefix(name).is_some_and(|suffix| suffix.starts_with([' ', '{']));
    let value = metrics.lines().find(has_name)?.rsplit(' ').next()?.parse::<f64>().ok()?;
    Some(value as u64)
}
