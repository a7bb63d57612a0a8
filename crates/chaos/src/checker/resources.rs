//! Whether a process kept more than it should when everybody had left, or kept growing while they
//! were there.
//!
//! Tasks and descriptors are exact: every one belongs to somebody, so at the end there may be no
//! more than when the process was idle, save for what it rightly keeps open for the next caller.
//! Memory is not: an allocator keeps pages for later, and caches fill. So memory is held against
//! itself. At the end, a process may not have much more than it had soon after it came under load;
//! and over the second half of each incarnation's time under load it may not have grown steadily,
//! which means from each quarter of that half to the next: a burst that passes, or one whose pages
//! are kept but that does not go on, is no leak.

use super::{Rule, Verdict};
use crate::history::{Footprint, History, Sample, Stage, Usage};

/// What a process may hold more than at idle: a pool of ten connections to Postgres that has grown
/// from one, and connections to other replicas that were made anew while the old ones had not
/// ended.
pub(crate) const SLACK: Usage = Usage { tasks: 16, descriptors: 16, memory: 0 };
const MIB: u64 = 1 << 20;
/// At the end, memory may have grown by half or by this much, whichever is more, since the process
/// had settled under load.
pub(crate) const MEMORY_ALLOWANCE: u64 = 48 * MIB;
/// The steepest steady slope, in bytes a minute.
pub(crate) const STEEPEST_SLOPE: u64 = 4 * MIB;

/// A process has settled after so much time under load, in microseconds.
const SETTLING: i64 = 10_000_000;
/// Over a shorter time a slope means nothing, in microseconds.
const SHORTEST_TREND: i64 = 40_000_000;
const MINUTE: f64 = 60e6;

pub(super) fn judge(history: &History, verdict: &mut Verdict) {
    for footprint in &history.footprints {
        for example in excesses(footprint)
            .into_iter()
            .chain(excess_of_memory(footprint))
            .chain(slopes(footprint))
        {
            verdict.report(Rule::Growth, || format!("{}: {example}", footprint.process));
        }
    }
}

/// Whether a process holds no more tasks and descriptors than it should after everybody has left.
pub(crate) fn has_returned(footprint: &Footprint) -> bool {
    excesses(footprint).is_empty()
}

fn excesses(footprint: &Footprint) -> Vec<String> {
    let (Some(idle), Some(end)) = (footprint.idle(), footprint.end()) else {
        return vec!["did not say what it holds".to_owned()];
    };
    let figures = [
        ("tasks", idle.tasks, end.tasks, SLACK.tasks),
        ("descriptors", idle.descriptors, end.descriptors, SLACK.descriptors),
    ];
    let excessive = figures.into_iter().filter(|(_, idle, end, slack)| *end > idle + slack);
    excessive
        .map(|(what, idle, end, _)| format!("{end} {what} at the end, {idle} when idle"))
        .collect()
}

/// Only the last incarnation has an end.
fn excess_of_memory(footprint: &Footprint) -> Option<String> {
    let end = footprint.end()?.memory;
    let settled = settled(footprint.incarnations().last()?).or(footprint.idle())?.memory;
    let limit = (settled + settled / 2).max(settled + MEMORY_ALLOWANCE);
    (end > limit).then(|| {
        format!("{} MiB at the end, {} MiB soon after its start", end / MIB, settled / MIB)
    })
}

/// The most that it held in its first seconds under load; nothing if it was not under load.
fn settled(incarnation: &[Sample]) -> Option<Usage> {
    let mut loaded = incarnation.iter().filter(|sample| sample.stage == Stage::Load).peekable();
    let until = loaded.peek()?.at + SETTLING;
    loaded
        .take_while(|sample| sample.at <= until)
        .map(|sample| sample.usage)
        .max_by_key(|usage| usage.memory)
}

fn slopes(footprint: &Footprint) -> Vec<String> {
    let slopes =
        footprint.incarnations().filter_map(slope).filter(|slope| *slope > STEEPEST_SLOPE as f64);
    slopes
        .map(|slope| format!("grew by {:.1} MiB a minute, steadily", slope / MIB as f64))
        .collect()
}

/// In bytes a minute, over the second half of the time under load: the least of the slopes from one
/// quarter of that half to the next.
fn slope(incarnation: &[Sample]) -> Option<f64> {
    let loaded: Vec<&Sample> =
        incarnation.iter().filter(|sample| sample.stage == Stage::Load).collect();
    let half = loaded.get(loaded.len() / 2..)?;
    let quarters: Vec<(i64, u64)> =
        half.chunks(half.len().div_ceil(4).max(1)).filter_map(median).collect();
    if quarters.len() < 4 || half.last()?.at - half.first()?.at < SHORTEST_TREND {
        return None;
    }
    let slopes = quarters.windows(2).map(|pair| {
        let ((from, before), (to, after)) = (pair[0], pair[1]);
        (after as f64 - before as f64) * MINUTE / (to - from) as f64
    });
    slopes.min_by(f64::total_cmp)
}

/// The time in the middle, and the memory that was as often exceeded as not.
fn median(samples: &[&Sample]) -> Option<(i64, u64)> {
    let mut memory: Vec<u64> = samples.iter().map(|sample| sample.usage.memory).collect();
    memory.sort_unstable();
    Some((samples.get(samples.len() / 2)?.at, *memory.get(memory.len() / 2)?))
}
