//! Whether every subscriber saw what it had to, once and in order, and nothing after its removal.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Rule, Verdict};
use crate::history::{Entry, Event, History, Outcome, StoredRoom, View, What};

/// How long delivery may go on after a removal was answered, in microseconds.
const GRACE: i64 = 1_000_000;

pub(super) fn judge(history: &History, verdict: &mut Verdict) {
    let removed: HashMap<(i64, i64), i64> = history
        .removals
        .iter()
        .map(|removal| ((removal.user, removal.room), removal.answered_at))
        .collect();
    let no_room = StoredRoom::default();
    for view in &history.views {
        let removed_at = removed.get(&(view.user, view.room)).copied();
        judge_sequence(view, verdict);
        judge_state(
            view,
            history.stored.get(&view.room).unwrap_or(&no_room),
            removed_at.is_some(),
            verdict,
        );
        if let Some(removed_at) = removed_at {
            judge_removal(view, removed_at, verdict);
        }
    }
    judge_meaning(history, verdict);
}

fn judge_sequence(view: &View, verdict: &mut Verdict) {
    let (mut last, mut seen) = (0, HashSet::new());
    for entry in &view.entries {
        match entry {
            Entry::Resync { head } => last = last.max(*head),
            Entry::Event(event) if !seen.insert(event.seq) => {
                verdict.report(Rule::SeenTwice, || describe(view, event));
            }
            Entry::Event(event) if event.seq < last => {
                verdict.report(Rule::OutOfOrder, || {
                    format!("{} came after {last}", describe(view, event))
                });
            }
            Entry::Event(event) => last = event.seq,
        }
    }
}

/// Applies the events and compares. Somebody removed is judged by what came before the last event
/// that he saw.
fn judge_state(view: &View, stored: &StoredRoom, was_removed: bool, verdict: &mut Verdict) {
    let (mut floor, mut last) = (0, 0);
    let mut state: BTreeMap<i64, &str> = BTreeMap::new();
    for entry in &view.entries {
        match entry {
            Entry::Resync { head } => {
                floor = *head;
                state.clear();
            }
            Entry::Event(event) => {
                last = last.max(event.seq);
                apply(&mut state, event);
            }
        }
    }
    let until = if was_removed { last } else { i64::MAX };
    for (id, message) in
        stored.messages.iter().filter(|(_, message)| message.seq > floor && message.seq <= until)
    {
        let seen = state.remove(id);
        // What was changed after the last event of somebody removed is none of his business.
        if seen.is_none() || (!was_removed && seen != Some(message.content.as_str())) {
            verdict.report(Rule::NotSeen, || {
                format!(
                    "user {} in room {}: message {id}, seq {}: saw {seen:?}",
                    view.user, view.room, message.seq
                )
            });
        }
    }
    for id in state.keys().filter(|id| !was_removed && !stored.messages.contains_key(id)) {
        verdict.report(Rule::NotSeen, || {
            format!("user {} in room {}: the end of message {id}", view.user, view.room)
        });
    }
}

fn apply<'a>(state: &mut BTreeMap<i64, &'a str>, event: &'a Event) {
    match &event.what {
        What::Created { content, .. } => {
            state.insert(event.message, content);
        }
        // One from before a reload is not in the state.
        What::Edited { content, .. } => {
            state.entry(event.message).and_modify(|present| *present = content);
        }
        What::Deleted => {
            state.remove(&event.message);
        }
    }
}

fn judge_removal(view: &View, removed_at: i64, verdict: &mut Verdict) {
    for entry in &view.entries {
        let Entry::Event(event) = entry else { continue };
        if let Some(committed_at) = event.committed_at().filter(|at| *at > removed_at + GRACE) {
            verdict.report(Rule::AfterRemoval, || {
                format!(
                    "{}, committed {} ms after the removal",
                    describe(view, event),
                    (committed_at - removed_at) / 1_000
                )
            });
        }
    }
}

/// The store, the answers and all subscribers must mean the same message by the same number.
fn judge_meaning(history: &History, verdict: &mut Verdict) {
    let mut meaning: HashMap<(i64, i64), i64> = HashMap::new();
    for (room, stored) in &history.stored {
        meaning.extend(stored.messages.iter().map(|(id, message)| ((*room, message.seq), *id)));
    }
    let acks = history.sends.iter().filter_map(|send| match send.outcome {
        Outcome::Acked { message, seq } => Some((send.room, seq, message)),
        _ => None,
    });
    let events = history.views.iter().flat_map(|view| {
        view.entries.iter().filter_map(move |entry| match entry {
            Entry::Event(event) => Some((view.room, event.seq, event.message)),
            Entry::Resync { .. } => None,
        })
    });
    for (room, seq, message) in acks.chain(events) {
        let known = *meaning.entry((room, seq)).or_insert(message);
        if known != message {
            verdict.report(Rule::OrderDiffers, || {
                format!("room {room}: seq {seq} is message {known} and message {message}")
            });
        }
    }
}

fn describe(view: &View, event: &Event) -> String {
    format!(
        "user {} in room {}: seq {} (message {})",
        view.user, view.room, event.seq, event.message
    )
}
