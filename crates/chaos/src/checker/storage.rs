//! The store has everything that was acknowledged, once and numbered without gaps, and each pair of
//! contacts has its room.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::Rule;
use super::verdict::Verdict;
use crate::history::{Change, ChangeKind, History, Send, SendResult, StoredMessage};

pub(super) fn check(history: &History, verdict: &mut Verdict) {
    for send in &history.sends {
        check_send(history, send, verdict);
    }
    check_sender_order(history, verdict);
    check_rooms(history, verdict);
    check_contacts(history, verdict);
}

fn check_send(history: &History, send: &Send, verdict: &mut Verdict) {
    let Send { sender, room, key, .. } = send;
    match send.result {
        SendResult::Refused => {
            let mut removals = history.removals.iter();
            if !removals.any(|removal| (removal.user, removal.room) == (*sender, *room)) {
                let example = || format!("room {room}: `{key}` was refused to a member");
                verdict.add(Rule::Unanswered, example);
            }
        }
        SendResult::Unanswered => {
            verdict.add(Rule::Unanswered, || format!("room {room}: `{key}`"));
        }
        SendResult::Acknowledged { message, seq } => {
            let stored = history.stored.get(room).and_then(|room| room.messages.get(&message));
            if let Some(loss) = loss(send, seq, stored) {
                let ack = format!("acknowledged as message {message}, seq {seq}");
                verdict.add(Rule::AckLost, || format!("room {room}: `{key}`, {ack}: {loss}"));
            }
        }
    }
}

/// Returns what the store lacks of an acknowledged message, or `None`.
fn loss(send: &Send, seq: i64, stored: Option<&StoredMessage>) -> Option<String> {
    let was = |kind| send.change == Some(Change { kind, is_confirmed: true });
    let may_be = |kind| send.change.is_some_and(|change| change.kind == kind);
    let Some(stored) = stored else {
        return (!may_be(ChangeKind::Delete)).then(|| "is missing".to_owned());
    };
    let is_edited = may_be(ChangeKind::Edit) && stored.content == ChangeKind::edited(&send.key);
    if was(ChangeKind::Delete) {
        Some("is there although its deletion was acknowledged".to_owned())
    } else if was(ChangeKind::Edit) && !is_edited {
        Some("has lost its acknowledged edit".to_owned())
    } else if !is_edited && stored.content != send.key {
        Some(format!("has the content `{}`", stored.content))
    } else if stored.seq != seq {
        Some(format!("has seq {}", stored.seq))
    } else {
        None
    }
}

/// A sender waits for all answers to a burst before it sends the next one, so numbers grow from
/// burst to burst. Within a burst they grow for messages that were acknowledged at the first
/// attempt: these went over one connection.
fn check_sender_order(history: &History, verdict: &mut Verdict) {
    let mut positions: BTreeMap<(i64, i64), SenderPosition> = BTreeMap::new();
    for send in &history.sends {
        let SendResult::Acknowledged { seq, .. } = send.result else { continue };
        let position = positions.entry((send.sender, send.room)).or_default();
        if send.burst != position.burst {
            position.burst = send.burst;
            position.before_burst = position.highest;
        }
        let is_first_attempt = send.attempts == 1;
        let before = if is_first_attempt {
            position.last_first_attempt.max(position.before_burst)
        } else {
            position.before_burst
        };
        if seq <= before {
            let Send { room, key, .. } = send;
            verdict.add(Rule::SenderReordered, || {
                format!("room {room}: `{key}` has seq {seq}, an earlier message {before}")
            });
        }
        position.highest = position.highest.max(seq);
        if is_first_attempt {
            position.last_first_attempt = seq;
        }
    }
}

/// The numbers of a sender in a room.
#[derive(Default)]
struct SenderPosition {
    burst: usize,
    /// The highest number of earlier bursts.
    before_burst: i64,
    highest: i64,
    last_first_attempt: i64,
}

fn check_rooms(history: &History, verdict: &mut Verdict) {
    for (room, stored) in &history.stored {
        let mut keys = BTreeSet::new();
        for (id, message) in &stored.messages {
            let content = &message.content;
            if !keys.insert(content.split(' ').next()) {
                let example = || format!("room {room}: message {id}: `{content}`");
                verdict.add(Rule::StoredTwice, example);
            }
        }
        let last_seq = stored.last_seq;
        for missing in (1..=last_seq).filter(|seq| !stored.seqs.contains(seq)) {
            verdict.add(Rule::Gap, || format!("room {room}: {missing} of {last_seq}"));
        }
    }
}

fn check_contacts(history: &History, verdict: &mut Verdict) {
    let mut rooms: BTreeMap<(i64, i64), usize> =
        history.contacts.iter().map(|pair| (*pair, 0)).collect();
    for pair in &history.system_rooms {
        *rooms.entry(*pair).or_default() += 1;
    }
    for ((one, other), count) in rooms {
        let is_contact = history.contacts.contains(&(one, other));
        if count != 1 || !is_contact {
            verdict.add(Rule::SystemRooms, || {
                let are = if is_contact { "are contacts" } else { "are no contacts" };
                format!("users {one} and {other} {are} and have {count} system rooms")
            });
        }
    }
}
