//! How long it took until everybody was live again after each fault.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::{Rule, Verdict};
use crate::history::{Entry, FaultRecord, History, View};

/// Within this time after the end of a fault everybody must be live again.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// What followed one fault.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    pub(crate) fault: String,
    pub(crate) lasted: Duration,
    /// How long after its end the last subscriber got its first event that was committed since;
    /// `None` if not all did before the next fault began.
    pub(crate) live_after: Option<Duration>,
}

pub(super) fn judge(history: &History, verdict: &mut Verdict) {
    let removed: HashSet<(i64, i64)> =
        history.removals.iter().map(|removal| (removal.user, removal.room)).collect();
    let views: Vec<&View> =
        history.views.iter().filter(|view| !removed.contains(&(view.user, view.room))).collect();
    for fault in &history.faults {
        let live_after = live_after(&views, fault);
        if live_after.is_none_or(|time| time > LIMIT) {
            verdict.report(Rule::LateRecovery, || match live_after {
                Some(time) => format!("{}: {:.1} s", fault.name, time.as_secs_f64()),
                None => format!("{}: not before the next fault", fault.name),
            });
        }
        let (name, lasted) = (fault.name.clone(), fault.lasted());
        verdict.recoveries.push(Recovery { fault: name, lasted, live_after });
    }
}

fn live_after(views: &[&View], fault: &FaultRecord) -> Option<Duration> {
    let mut first_by_view: HashMap<(i64, i64), Option<i64>> = HashMap::new();
    let mut busy_rooms = HashSet::new();
    for view in views {
        let first = first_live(view, fault);
        busy_rooms.extend(first.map(|_| view.room));
        if was_told_of(view, fault) {
            busy_rooms.insert(view.room);
        }
        first_by_view.insert((view.user, view.room), first);
    }
    // In any other room perhaps nobody said anything.
    let concerned = first_by_view.into_iter().filter(|((_, room), _)| busy_rooms.contains(room));
    let last: Option<Vec<i64>> = concerned.map(|(_, first)| first).collect();
    let last = last?.into_iter().max()?;
    Some(Duration::from_micros(u64::try_from(last - fault.ended_at).unwrap_or(0)))
}

fn first_live(view: &View, fault: &FaultRecord) -> Option<i64> {
    let window = fault.ended_at..fault.observed_until;
    view.entries.iter().find_map(|entry| match entry {
        Entry::Event(event) if event.committed_at().is_some_and(|at| window.contains(&at)) => {
            Some(event.delivered_at).filter(|at| window.contains(at))
        }
        _ => None,
    })
}

/// Whether the subscriber got, however late, what was committed early enough after the fault to be
/// live by the limit.
fn was_told_of(view: &View, fault: &FaultRecord) -> bool {
    let limit = i64::try_from(LIMIT.as_micros()).unwrap_or(i64::MAX);
    let window = fault.ended_at..=fault.observed_until.saturating_sub(limit);
    view.entries.iter().any(|entry| match entry {
        Entry::Event(event) => event.committed_at().is_some_and(|at| window.contains(&at)),
        Entry::Resync { .. } => false,
    })
}
