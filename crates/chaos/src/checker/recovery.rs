//! After each fault all subscribers are live again in time.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::rule::Rule;
use super::verdict::{Recovery, Verdict};
use crate::history::{FaultRecord, History, View};

/// Time after the end of a fault within which all subscribers must be live again.
pub(crate) const RECOVERY_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn check(history: &History, verdict: &mut Verdict) {
    let removed: HashSet<(i64, i64)> =
        history.removals.iter().map(|removal| (removal.user, removal.room)).collect();
    let views: Vec<&View> =
        history.views.iter().filter(|view| !removed.contains(&(view.user, view.room))).collect();
    for fault in &history.faults {
        let live_after = live_after(&views, fault);
        if live_after.is_none_or(|time| time > RECOVERY_TIMEOUT) {
            verdict.add(Rule::LateRecovery, || match live_after {
                Some(time) => format!("{}: {:.1} s", fault.name, time.as_secs_f64()),
                None => format!("{}: not before the next fault", fault.name),
            });
        }
        let (name, duration) = (fault.name.clone(), fault.duration());
        verdict.recoveries.push(Recovery { fault: name, duration, live_after });
    }
}

fn live_after(views: &[&View], fault: &FaultRecord) -> Option<Duration> {
    let mut first_by_view: HashMap<(i64, i64), Option<i64>> = HashMap::new();
    let mut active_rooms = HashSet::new();
    for view in views {
        let first = first_live(view, fault);
        if first.is_some() || was_delivered_late(view, fault) {
            active_rooms.insert(view.room);
        }
        first_by_view.insert((view.user, view.room), first);
    }
    // The other rooms may have had no message.
    let in_active = first_by_view.into_iter().filter(|((_, room), _)| active_rooms.contains(room));
    let firsts: Option<Vec<i64>> = in_active.map(|(_, first)| first).collect();
    let last = firsts?.into_iter().max()?;
    Some(Duration::from_micros(u64::try_from(last - fault.ended_at).unwrap_or(0)))
}

/// When the first event after a fault was delivered.
fn first_live(view: &View, fault: &FaultRecord) -> Option<i64> {
    let window = fault.ended_at..fault.observed_until;
    let is_inside = |at: i64| window.contains(&at);
    let first = view
        .events()
        .find(|event| event.committed_at().is_some_and(is_inside) && is_inside(event.delivered_at));
    first.map(|event| event.delivered_at)
}

/// True if the subscriber got, however late, an event that was committed early enough after the
/// fault to be delivered in time.
fn was_delivered_late(view: &View, fault: &FaultRecord) -> bool {
    let timeout = i64::try_from(RECOVERY_TIMEOUT.as_micros()).unwrap_or(i64::MAX);
    let window = fault.ended_at..=fault.observed_until.saturating_sub(timeout);
    view.events().any(|event| event.committed_at().is_some_and(|at| window.contains(&at)))
}
