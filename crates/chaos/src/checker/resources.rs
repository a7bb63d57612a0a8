//! No process keeps more resources than it should after all clients, or keeps growing under load.
//!
//! Tasks and descriptors are exact: at the end there may be no more than at idle, except for pooled
//! connections. Memory is not exact, because allocators keep pages and caches fill. So memory is
//! compared with itself. At the end a process may not have much more than soon after it came under
//! load. And over the second half of each incarnation's time under load it may not have grown from
//! each quarter of that half to the next: a burst that passes, or that does not go on, is no leak.

use super::rule::Rule;
use super::verdict::Verdict;
use crate::history::{Footprint, History, Sample, Stage, Usage};

/// What a process may hold more than at idle: a pool of ten connections to Postgres that has grown
/// from one, and connections to other replicas that were replaced before the old ones ended.
pub(crate) const SLACK: Usage = Usage { tasks: 16, descriptors: 16, memory: 0 };
const MIB: u64 = 1 << 20;
/// At the end memory may have grown by half or by this, whichever is more, since it had settled
/// under load.
pub(crate) const MEMORY_ALLOWANCE: u64 = 48 * MIB;
/// The steepest steady growth, in bytes a minute.
pub(crate) const MAX_SLOPE: u64 = 4 * MIB;

/// Time under load after which a process has settled, in microseconds.
const SETTLING_TIME: i64 = 10_000_000;
/// Over a shorter time a slope means nothing, in microseconds.
const MIN_TREND: i64 = 40_000_000;
const MINUTE: f64 = 60e6;

pub(super) fn check(history: &History, verdict: &mut Verdict) {
    for footprint in &history.footprints {
        let kept = kept_resources(footprint).into_iter();
        for example in kept.chain(kept_memory(footprint)).chain(growth(footprint)) {
            verdict.add(Rule::ResourceLeak, || format!("{}: {example}", footprint.process));
        }
    }
}

/// True if a process has given back its tasks and descriptors after all clients.
pub(crate) fn is_returned(footprint: &Footprint) -> bool {
    kept_resources(footprint).is_empty()
}

fn kept_resources(footprint: &Footprint) -> Vec<String> {
    let (Some(idle), Some(end)) = (footprint.idle(), footprint.end()) else {
        return vec!["did not report its resources".to_owned()];
    };
    let figures = [
        ("tasks", idle.tasks, end.tasks, SLACK.tasks),
        ("descriptors", idle.descriptors, end.descriptors, SLACK.descriptors),
    ];
    let kept = figures.into_iter().filter(|(_, idle, end, slack)| *end > idle + slack);
    kept.map(|(what, idle, end, _)| format!("{end} {what} at the end, {idle} at idle")).collect()
}

/// Only the last incarnation has an end.
fn kept_memory(footprint: &Footprint) -> Option<String> {
    let end = footprint.end()?.memory;
    let settled = settled_memory(footprint.incarnations().last()?);
    let settled = settled.or(footprint.idle().map(|usage| usage.memory))?;
    let allowed = (settled + settled / 2).max(settled + MEMORY_ALLOWANCE);
    let (end_mib, settled_mib) = (end / MIB, settled / MIB);
    (end > allowed)
        .then(|| format!("{end_mib} MiB at the end, {settled_mib} MiB soon after its start"))
}

/// The maximum of the first seconds under load, or `None` without load.
fn settled_memory(incarnation: &[Sample]) -> Option<u64> {
    let mut loaded = incarnation.iter().filter(|sample| sample.stage == Stage::Load).peekable();
    let until = loaded.peek()?.at + SETTLING_TIME;
    loaded.take_while(|sample| sample.at <= until).map(|sample| sample.usage.memory).max()
}

fn growth(footprint: &Footprint) -> Vec<String> {
    let slopes = footprint.incarnations().filter_map(slope);
    let steep = slopes.filter(|slope| *slope > MAX_SLOPE as f64);
    steep.map(|slope| format!("grew steadily by {:.1} MiB a minute", slope / MIB as f64)).collect()
}

/// In bytes a minute, over the second half of the time under load: the least of the slopes from one
/// quarter of that half to the next.
fn slope(incarnation: &[Sample]) -> Option<f64> {
    let loaded: Vec<&Sample> =
        incarnation.iter().filter(|sample| sample.stage == Stage::Load).collect();
    let half = loaded.get(loaded.len() / 2..)?;
    let quarters: Vec<(i64, u64)> =
        half.chunks(half.len().div_ceil(4).max(1)).filter_map(median).collect();
    if quarters.len() < 4 || half.last()?.at - half.first()?.at < MIN_TREND {
        return None;
    }
    let slopes = quarters.windows(2).map(|pair| {
        let ((from, before), (to, after)) = (pair[0], pair[1]);
        (after as f64 - before as f64) * MINUTE / (to - from) as f64
    });
    slopes.min_by(f64::total_cmp)
}

/// The time in the middle, and the median of the memory.
fn median(samples: &[&Sample]) -> Option<(i64, u64)> {
    let mut memory: Vec<u64> = samples.iter().map(|sample| sample.usage.memory).collect();
    memory.sort_unstable();
    Some((samples.get(samples.len() / 2)?.at, *memory.get(memory.len() / 2)?))
}
