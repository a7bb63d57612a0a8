//! The judge has teeth: each test breaks one promise in a good history, and only that one is found.

use std::collections::BTreeMap;

use super::*;
use crate::history::{
    Change, ChangeKind, Entry, Event, FaultRecord, Footprint, Outcome, Removal, Sample, Send,
    Stage, StoredMessage, StoredRoom, Usage, View, What,
};

const ROOM: i64 = 7;
const SECOND: i64 = 1_000_000;
const MIB: u64 = 1 << 20;

/// Three messages of user 1, seen by users 1 and 2, who are contacts; message 12 was edited with
/// seq 4. A fault ended at 2.5 s.
fn good() -> History {
    let keys = ["a", "b", "c"];
    let send = |index: usize| Send {
        sender: 1,
        room: ROOM,
        key: keys[index].to_owned(),
        burst: index,
        tries: 1,
        outcome: Outcome::Acked { message: 11 + index as i64, seq: 1 + index as i64 },
        change: (index == 1).then_some(Change { kind: ChangeKind::Edit, is_confirmed: true }),
    };
    let messages = [(11, 1, "a"), (12, 2, "b edited"), (13, 3, "c")];
    let messages: BTreeMap<_, _> = messages
        .map(|(id, seq, content)| (id, StoredMessage { seq, content: content.to_owned() }))
        .into();
    let stored = StoredRoom { messages, numbers: (1..=4).collect(), head: 4 };
    History {
        sends: (0..3).map(send).collect(),
        views: vec![view(1), view(2)],
        removals: Vec::new(),
        stored: [(ROOM, stored)].into(),
        contacts: [(1, 2)].into(),
        system_rooms: vec![(1, 2)],
        faults: vec![FaultRecord {
            name: "a fault".to_owned(),
            begun_at: 3 * SECOND / 2,
            ended_at: 5 * SECOND / 2,
            observed_until: 20 * SECOND,
            breaches: Vec::new(),
        }],
        footprints: vec![footprint()],
    }
}

/// Two samples a second apart at idle, five minutes under load, and the end; restarted after two
/// minutes of load.
fn footprint() -> Footprint {
    let usage = |stage, at: i64| match stage {
        Stage::Load => Usage { tasks: 900, descriptors: 400, memory: (60 + at as u64 % 3) * MIB },
        _ => Usage { tasks: 40, descriptors: 30, memory: 20 * MIB },
    };
    let sample = |(stage, at): (Stage, i64)| Sample {
        at: at * SECOND,
        stage,
        incarnation: if at < 120 { 1 } else { 2 },
        usage: usage(stage, at),
    };
    let load = (0..150).map(|number| (Stage::Load, 2 * number));
    let times =
        [(Stage::Idle, -2), (Stage::Idle, -1)].into_iter().chain(load).chain([(Stage::End, 310)]);
    Footprint { process: "gateway 1".to_owned(), samples: times.map(sample).collect() }
}

fn view(user: i64) -> View {
    View {
        user,
        room: ROOM,
        entries: vec![created(1, "a"), created(2, "b"), created(3, "c"), edited()],
    }
}

/// Created at as many seconds as its number, delivered 10 ms later.
fn created(seq: i64, content: &str) -> Entry {
    let created_at = seq * SECOND;
    let what = What::Created { content: content.to_owned(), created_at };
    Entry::Event(Event { seq, message: seq + 10, delivered_at: created_at + 10_000, what })
}

fn edited() -> Entry {
    let what = What::Edited { content: "b edited".to_owned(), edited_at: 4 * SECOND };
    Entry::Event(Event { seq: 4, message: 12, delivered_at: 4 * SECOND + 10_000, what })
}

fn room(history: &mut History) -> &mut StoredRoom {
    history.stored.get_mut(&ROOM).unwrap()
}

#[track_caller]
fn breaks(rules: &[Rule], harm: impl FnOnce(&mut History)) {
    let mut history = good();
    harm(&mut history);
    let verdict = judge(&history);
    let broken: Vec<Rule> =
        Rule::ALL.into_iter().filter(|rule| verdict.of(*rule).count > 0).collect();
    assert_eq!(broken, rules, "{verdict:?}");
    assert_eq!(verdict.is_clean(), rules.is_empty());
}

#[test]
fn a_good_history_is_clean() {
    breaks(&[], |_| ());
}

#[test]
fn an_acknowledged_message_that_is_gone_is_found() {
    breaks(&[Rule::AckedLost], |history| {
        room(history).messages.remove(&13);
        // Nobody saw it either.
        for view in &mut history.views {
            view.entries.remove(2);
        }
    });
}

#[test]
fn an_acknowledged_edit_that_is_gone_is_found() {
    breaks(&[Rule::AckedLost], |history| {
        room(history).messages.get_mut(&12).unwrap().content = "b".to_owned();
        for view in &mut history.views {
            view.entries.pop();
        }
    });
}

#[test]
fn an_acknowledged_deletion_that_is_undone_is_found() {
    breaks(&[Rule::AckedLost], |history| {
        history.sends[2].change = Some(Change { kind: ChangeKind::Delete, is_confirmed: true });
    });
}

#[test]
fn a_message_stored_twice_is_found() {
    breaks(&[Rule::StoredTwice], |history| {
        room(history).messages.insert(15, StoredMessage { seq: 5, content: "c".to_owned() });
        room(history).numbers.insert(5);
        room(history).head = 5;
        for view in &mut history.views {
            view.entries.push(created(5, "c"));
        }
    });
}

#[test]
fn a_hole_in_the_numbers_is_found() {
    breaks(&[Rule::HoleInSeq], |history| room(history).head = 5);
}

#[test]
fn an_event_seen_twice_is_found() {
    breaks(&[Rule::SeenTwice], |history| history.views[1].entries.insert(1, created(1, "a")));
}

#[test]
fn an_event_out_of_order_is_found() {
    breaks(&[Rule::OutOfOrder], |history| history.views[1].entries.swap(0, 1));
}

#[test]
fn an_event_not_seen_is_found() {
    breaks(&[Rule::NotSeen], |history| drop(history.views[1].entries.remove(0)));
}

#[test]
fn an_edit_not_seen_is_found() {
    breaks(&[Rule::NotSeen], |history| drop(history.views[1].entries.pop()));
}

#[test]
fn a_deletion_not_seen_is_found() {
    breaks(&[Rule::NotSeen], |history| {
        history.sends[2].change = Some(Change { kind: ChangeKind::Delete, is_confirmed: true });
        room(history).messages.remove(&13);
        room(history).numbers.insert(5);
        room(history).head = 5;
        let deleted = Event { seq: 5, message: 13, delivered_at: 5 * SECOND, what: What::Deleted };
        history.views[0].entries.push(Entry::Event(deleted));
    });
}

#[test]
fn overtaken_numbers_may_be_left_out_when_catching_up() {
    breaks(&[], |history| {
        history.views[1].entries = vec![created(1, "a"), created(2, "b edited"), created(3, "c")];
    });
}

#[test]
fn what_a_reload_replaces_is_not_missed() {
    breaks(&[], |history| {
        history.views[1].entries = vec![Entry::Resync { head: 2 }, created(3, "c"), edited()];
    });
}

#[test]
fn a_number_that_means_two_messages_is_found() {
    breaks(&[Rule::OrderDiffers], |history| {
        let Entry::Event(event) = &mut history.views[1].entries[3] else { unreachable!() };
        event.message = 14;
        let Entry::Event(event) = &mut history.views[1].entries[1] else { unreachable!() };
        event.what = What::Created { content: "b edited".to_owned(), created_at: 2 * SECOND };
    });
}

#[test]
fn a_sender_whose_messages_change_places_is_found() {
    breaks(&[Rule::SenderReordered], |history| history.sends.swap(0, 1));
}

/// As if the first two messages had been sent at once, in the other order than they were stored in.
fn send_swapped(history: &mut History, tries: u32) {
    history.sends.swap(0, 1);
    history.sends[1].burst = history.sends[0].burst;
    history.sends[1].tries = tries;
}

#[test]
fn messages_sent_at_once_over_one_connection_that_change_places_are_found() {
    breaks(&[Rule::SenderReordered], |history| send_swapped(history, 1));
}

#[test]
fn a_message_that_had_to_be_sent_again_may_change_places_with_others_of_its_burst_only() {
    breaks(&[], |history| send_swapped(history, 2));
    breaks(&[Rule::SenderReordered], |history| {
        history.sends.swap(0, 1);
        history.sends[1].tries = 2;
    });
}

#[test]
fn a_bad_client_that_was_answered_otherwise_than_promised_is_found() {
    breaks(&[Rule::BadClients], |history| {
        history.faults[0].breaches.push("close code 1011".to_owned())
    });
}

#[test]
fn delivery_after_a_removal_is_found_and_before_it_is_not_demanded() {
    let removal = |answered_at| Removal { user: 2, room: ROOM, answered_at };
    breaks(&[Rule::AfterRemoval], |history| history.removals.push(removal(2 * SECOND)));
    breaks(&[], |history| {
        history.removals.push(removal(2 * SECOND));
        history.views[1].entries.truncate(3);
    });
}

#[test]
fn a_message_missed_before_a_removal_is_found() {
    breaks(&[Rule::NotSeen], |history| {
        history.removals.push(Removal { user: 2, room: ROOM, answered_at: 3 * SECOND });
        history.views[1].entries.remove(0);
    });
}

#[test]
fn contacts_without_exactly_one_system_room_are_found() {
    breaks(&[Rule::SystemRooms], |history| history.system_rooms.clear());
    breaks(&[Rule::SystemRooms], |history| history.system_rooms.push((1, 2)));
    breaks(&[Rule::SystemRooms], |history| history.system_rooms.push((1, 3)));
}

#[test]
fn a_message_that_is_never_answered_is_found() {
    breaks(&[Rule::Unanswered], |history| {
        let lost =
            Send { outcome: Outcome::Unanswered, key: "d".to_owned(), ..history.sends[0].clone() };
        history.sends.push(lost);
    });
}

#[test]
fn a_message_refused_to_a_member_is_found() {
    let refused = |history: &mut History| {
        let refused = Send {
            sender: 2,
            outcome: Outcome::Refused,
            key: "d".to_owned(),
            ..history.sends[0].clone()
        };
        history.sends.push(refused);
    };
    breaks(&[Rule::Unanswered], refused);
    breaks(&[], |history| {
        refused(history);
        history.removals.push(Removal { user: 2, room: ROOM, answered_at: 10 * SECOND });
    });
}

#[test]
fn a_fault_without_a_timely_recovery_is_found() {
    let delay = |history: &mut History, by: i64| {
        for entry in &mut history.views[1].entries[2..] {
            let Entry::Event(event) = entry else { unreachable!() };
            event.delivered_at += by;
        }
    };
    breaks(&[Rule::LateRecovery], |history| delay(history, 6 * SECOND));
    breaks(&[Rule::LateRecovery], |history| delay(history, 60 * SECOND));
    breaks(&[], |history| delay(history, 3 * SECOND));
}

#[test]
fn a_room_where_nobody_is_live_again_is_found_and_one_where_nobody_speaks_is_not() {
    breaks(&[Rule::LateRecovery], |history| {
        for entry in history.views.iter_mut().flat_map(|view| &mut view.entries[2..]) {
            let Entry::Event(event) = entry else { unreachable!() };
            event.delivered_at += 60 * SECOND;
        }
        // Another room is live at once.
        let mut other = view(3);
        other.room = ROOM + 1;
        history.stored.insert(other.room, history.stored[&ROOM].clone());
        history.views.push(other);
    });
    breaks(&[], |history| {
        history.views.push(View { user: 2, room: ROOM + 1, entries: Vec::new() })
    });
}

fn last_usage(history: &mut History) -> &mut Usage {
    &mut history.footprints[0].samples.last_mut().unwrap().usage
}

#[test]
fn tasks_that_nobody_ends_are_found_and_fuller_pools_are_not() {
    breaks(&[Rule::Growth], |history| last_usage(history).tasks = 100);
    breaks(&[], |history| last_usage(history).tasks = 50);
}

#[test]
fn connections_that_nobody_closes_are_found_and_fuller_pools_are_not() {
    breaks(&[Rule::Growth], |history| last_usage(history).descriptors = 60);
    breaks(&[], |history| last_usage(history).descriptors = 40);
}

#[test]
fn a_process_that_does_not_say_what_it_holds_at_the_end_is_found() {
    breaks(&[Rule::Growth], |history| history.footprints[0].samples.truncate(100));
    breaks(&[Rule::Growth], |history| history.footprints[0].samples.clear());
}

#[test]
fn memory_that_is_kept_at_the_end_is_found_and_what_an_allocator_keeps_is_not() {
    breaks(&[Rule::Growth], |history| last_usage(history).memory = 120 * MIB);
    breaks(&[], |history| last_usage(history).memory = 100 * MIB);
}

/// Changes the memory of each sample by the seconds since the restart.
fn change_memory(history: &mut History, change: impl Fn(u64) -> u64) {
    for sample in history.footprints[0].samples.iter_mut().filter(|sample| sample.incarnation == 2)
    {
        let seconds = u64::try_from(sample.at / SECOND).unwrap() - 120;
        sample.usage.memory += change(seconds);
    }
}

#[test]
fn memory_that_grows_steadily_is_found() {
    // 10 MiB a minute.
    breaks(&[Rule::Growth], |history| change_memory(history, |seconds| seconds * 10 * MIB / 60));
    breaks(&[], |history| change_memory(history, |seconds| seconds * 2 * MIB / 60));
}

#[test]
fn memory_that_grows_in_a_burst_or_only_at_first_is_not_found() {
    breaks(&[], |history| {
        change_memory(history, |seconds| if (120..140).contains(&seconds) { 300 * MIB } else { 0 })
    });
    breaks(&[], |history| {
        change_memory(history, |seconds| if seconds > 130 { 40 * MIB } else { 0 })
    });
    breaks(&[], |history| change_memory(history, |seconds| seconds.min(60) * MIB / 2));
}
