//! Every subscriber gets each change that it must see, once and in order, and nothing after its
//! removal.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::rule::Rule;
use super::verdict::Verdict;
use crate::history::{Entry, Event, EventKind, History, SendResult, StoredRoom, View};

/// How long after the answer to a removal events may still be committed and delivered, in
/// microseconds.
const REMOVAL_GRACE: i64 = 1_000_000;

pub(super) fn check(history: &History, verdict: &mut Verdict) {
    let removals = history.removals.iter();
    let removed: HashMap<(i64, i64), i64> =
        removals.map(|removal| ((removal.user, removal.room), removal.answered_at)).collect();
    let no_room = StoredRoom::default();
    for view in &history.views {
        let stored = history.stored.get(&view.room).unwrap_or(&no_room);
        let removed_at = removed.get(&(view.user, view.room)).copied();
        check_order(view, verdict);
        check_state(view, stored, removed_at.is_some(), verdict);
        if let Some(removed_at) = removed_at {
            check_removal(view, removed_at, verdict);
        }
    }
    check_numbers(history, verdict);
}

fn check_order(view: &View, verdict: &mut Verdict) {
    let (mut last, mut seen) = (0, HashSet::new());
    for entry in &view.entries {
        match entry {
            Entry::Resync { last_seq } => last = last.max(*last_seq),
            Entry::Event(event) if !seen.insert(event.seq) => {
                verdict.add(Rule::DeliveredTwice, || describe(view, event));
            }
            Entry::Event(event) if event.seq < last => {
                let example = || format!("{} came after {last}", describe(view, event));
                verdict.add(Rule::OutOfOrder, example);
            }
            Entry::Event(event) => last = event.seq,
        }
    }
}

/// Applies the events and compares the result with the store. For a removed user only what was
/// created before the last event that it got must be there.
fn check_state(view: &View, stored: &StoredRoom, was_removed: bool, verdict: &mut Verdict) {
    let (mut first, mut last) = (0, 0);
    let mut state: BTreeMap<i64, &str> = BTreeMap::new();
    for entry in &view.entries {
        match entry {
            Entry::Resync { last_seq } => {
                first = *last_seq;
                state.clear();
            }
            Entry::Event(event) => {
                last = last.max(event.seq);
                apply(&mut state, event);
            }
        }
    }
    let (user, room) = (view.user, view.room);
    let until = if was_removed { last } else { i64::MAX };
    let expected = |seq: i64| seq > first && seq <= until;
    for (id, message) in stored.messages.iter().filter(|(_, message)| expected(message.seq)) {
        let seen = state.remove(id);
        // A removed user need not see changes that come after its last event.
        if seen.is_none() || (!was_removed && seen != Some(message.content.as_str())) {
            let seq = message.seq;
            verdict.add(Rule::NotDelivered, || {
                format!("user {user} in room {room}: message {id}, seq {seq}: saw {seen:?}")
            });
        }
    }
    for id in state.keys().filter(|id| !was_removed && !stored.messages.contains_key(id)) {
        verdict.add(Rule::NotDelivered, || {
            format!("user {user} in room {room}: the deletion of message {id}")
        });
    }
}

fn apply<'a>(state: &mut BTreeMap<i64, &'a str>, event: &'a Event) {
    match &event.kind {
        EventKind::Created { content, .. } => {
            state.insert(event.message, content);
        }
        // A message from before a resync is not in the state.
        EventKind::Edited { content, .. } => {
            state.entry(event.message).and_modify(|present| *present = content);
        }
        EventKind::Deleted => {
            state.remove(&event.message);
        }
    }
}

fn check_removal(view: &View, removed_at: i64, verdict: &mut Verdict) {
    for event in view.events() {
        if let Some(committed_at) = event.committed_at()
            && committed_at > removed_at + REMOVAL_GRACE
        {
            let late_ms = (committed_at - removed_at) / 1_000;
            verdict.add(Rule::AfterRemoval, || {
                format!("{}, committed {late_ms} ms after the removal", describe(view, event))
            });
        }
    }
}

/// The store, the answers and all subscribers must mean the same message by the same number.
fn check_numbers(history: &History, verdict: &mut Verdict) {
    let mut messages: HashMap<(i64, i64), i64> = HashMap::new();
    for (room, stored) in &history.stored {
        messages.extend(stored.messages.iter().map(|(id, message)| ((*room, message.seq), *id)));
    }
    let acks = history.sends.iter().filter_map(|send| match send.result {
        SendResult::Acknowledged { message, seq } => Some((send.room, seq, message)),
        _ => None,
    });
    let events = history
        .views
        .iter()
        .flat_map(|view| view.events().map(|event| (view.room, event.seq, event.message)));
    for (room, seq, message) in acks.chain(events) {
        let known = *messages.entry((room, seq)).or_insert(message);
        if known != message {
            verdict.add(Rule::ConflictingSeq, || {
                format!("room {room}: seq {seq} is message {known} and message {message}")
            });
        }
    }
}

fn describe(view: &View, event: &Event) -> String {
    let View { user, room, .. } = view;
    format!("user {user} in room {room}: seq {} (message {})", event.seq, event.message)
}
