//! Whether the store has what was acknowledged, once, numbered without holes, and every pair of
//! contacts its room.

use std::collections::{BTreeMap, BTreeSet};

use super::{Rule, Verdict};
use crate::history::{Change, ChangeKind, History, Outcome, Send, StoredMessage};

pub(super) fn judge(history: &History, verdict: &mut Verdict) {
    for send in &history.sends {
        judge_send(history, send, verdict);
    }
    judge_order_of_senders(history, verdict);
    judge_rooms(history, verdict);
    judge_contacts(history, verdict);
}

fn judge_send(history: &History, send: &Send, verdict: &mut Verdict) {
    match send.outcome {
        Outcome::Refused => {
            let was_removed = history
                .removals
                .iter()
                .any(|removal| (removal.user, removal.room) == (send.sender, send.room));
            if !was_removed {
                verdict.report(Rule::Unanswered, || {
                    format!("room {}: `{}` was refused to a member", send.room, send.key)
                });
            }
        }
        Outcome::Unanswered => {
            verdict.report(Rule::Unanswered, || format!("room {}: `{}`", send.room, send.key));
        }
        Outcome::Acked { message, seq } => {
            let stored =
                history.stored.get(&send.room).and_then(|room| room.messages.get(&message));
            if let Some(wrong) = what_is_wrong(send, seq, stored) {
                verdict.report(Rule::AckedLost, || {
                    format!(
                        "room {}: `{}`, acknowledged as message {message}, seq {seq}: {wrong}",
                        send.room, send.key
                    )
                });
            }
        }
    }
}

fn what_is_wrong(send: &Send, seq: i64, stored: Option<&StoredMessage>) -> Option<String> {
    let was = |kind| send.change == Some(Change { kind, is_confirmed: true });
    let may_be = |kind| send.change.is_some_and(|change| change.kind == kind);
    let Some(stored) = stored else {
        return (!may_be(ChangeKind::Delete)).then(|| "is not there".to_owned());
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

/// A sender waits until a burst is answered before it begins the next one, so the numbers of bursts
/// grow. Within a burst they grow for what was acknowledged at the first try: it went over one
/// connection.
fn judge_order_of_senders(history: &History, verdict: &mut Verdict) {
    let mut places: BTreeMap<(i64, i64), Place> = BTreeMap::new();
    for send in &history.sends {
        let Outcome::Acked { seq, .. } = send.outcome else { continue };
        let place = places.entry((send.sender, send.room)).or_default();
        if send.burst != place.burst {
            *place = Place { burst: send.burst, floor: place.highest, ..*place };
        }
        let before =
            if send.tries == 1 { place.last_first_try.max(place.floor) } else { place.floor };
        if seq <= before {
            verdict.report(Rule::SenderReordered, || {
                format!("room {}: `{}` has seq {seq}, one before it {before}", send.room, send.key)
            });
        }
        place.highest = place.highest.max(seq);
        if send.tries == 1 {
            place.last_first_try = seq;
        }
    }
}

/// How far a sender has come in a room.
#[derive(Default)]
struct Place {
    burst: usize,
    /// The highest number of the bursts before.
    floor: i64,
    highest: i64,
    last_first_try: i64,
}

fn judge_rooms(history: &History, verdict: &mut Verdict) {
    for (room, stored) in &history.stored {
        let mut keys = BTreeSet::new();
        for (id, message) in &stored.messages {
            let key = message.content.split(' ').next();
            if !keys.insert(key) {
                verdict.report(Rule::StoredTwice, || {
                    format!("room {room}: message {id}: `{}`", message.content)
                });
            }
        }
        for missing in (1..=stored.head).filter(|seq| !stored.numbers.contains(seq)) {
            verdict
                .report(Rule::HoleInSeq, || format!("room {room}: {missing} of {}", stored.head));
        }
    }
}

fn judge_contacts(history: &History, verdict: &mut Verdict) {
    let mut rooms: BTreeMap<(i64, i64), usize> =
        history.contacts.iter().map(|pair| (*pair, 0)).collect();
    for pair in &history.system_rooms {
        *rooms.entry(*pair).or_default() += 1;
    }
    for ((one, other), count) in rooms {
        let is_contact = history.contacts.contains(&(one, other));
        if count != 1 || !is_contact {
            verdict.report(Rule::SystemRooms, || {
                let are = if is_contact { "are contacts" } else { "are no contacts" };
                format!("users {one} and {other} {are} and have {count} system rooms")
            });
        }
    }
}
