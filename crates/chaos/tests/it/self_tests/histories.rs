//! A table of tampered histories, each with the violations that the checker must report.

use std::collections::BTreeMap;

use parlance_chaos::checker::{Rule, check};
use parlance_chaos::history::{
    Change, ChangeKind, EndedSession, Entry, Event, EventKind, FaultRecord, Footprint, History,
    Removal, Sample, Send, SendResult, Stage, StoredMessage, StoredRoom, Usage, View,
};

const ROOM: i64 = 7;
const SECOND: i64 = 1_000_000;
const MIB: u64 = 1 << 20;

struct Row {
    history: &'static str,
    tamper: fn(&mut History),
    /// The rules that are broken.
    broken: &'static [Rule],
}

const fn row(history: &'static str, broken: &'static [Rule], tamper: fn(&mut History)) -> Row {
    Row { history, tamper, broken }
}

#[test]
fn the_checker_reports_exactly_the_violations_of_a_history() {
    let rows = || {
        let tables = [STORAGE, DELIVERY, REMOVALS, SESSIONS, ANSWERS, RECOVERY, RESOURCES];
        tables.into_iter().flatten()
    };
    for Row { history: name, tamper, broken } in rows() {
        let mut history = good();
        tamper(&mut history);
        let verdict = check(&history);
        assert_eq!(verdict.broken_rules(), *broken, "{name}: {verdict:?}");
        assert_eq!(verdict.is_clean(), broken.is_empty(), "{name}");
    }
    for (rule, _) in Rule::ALL {
        assert!(rows().any(|row| row.broken == [rule]), "{rule:?} has no row");
    }
}

const STORAGE: &[Row] = &[
    row("an untampered history", &[], |_| ()),
    row("an acknowledged message is gone", &[Rule::AckLost], |history| {
        room(history).messages.remove(&13);
        for view in &mut history.views {
            view.entries.remove(2);
        }
    }),
    row("an acknowledged edit is gone", &[Rule::AckLost], |history| {
        room(history).messages.get_mut(&12).unwrap().content = "b".to_owned();
        for view in &mut history.views {
            view.entries.pop();
        }
    }),
    row("an acknowledged deletion is undone", &[Rule::AckLost], |history| {
        history.sends[2].change = Some(Change { kind: ChangeKind::Delete, is_confirmed: true });
    }),
    row("a message is stored twice", &[Rule::StoredTwice], |history| {
        room(history).messages.insert(15, StoredMessage { seq: 5, content: "c".to_owned() });
        use_number_5(history);
        for view in &mut history.views {
            view.entries.push(created(5, "c"));
        }
    }),
    row("a number is missing", &[Rule::Gap], |history| room(history).last_seq = 5),
    row("contacts have no system room", &[Rule::SystemRooms], |history| {
        history.system_rooms.clear();
    }),
    row("contacts have two system rooms", &[Rule::SystemRooms], |history| {
        history.system_rooms.push((1, 2));
    }),
    row("users without contact have a system room", &[Rule::SystemRooms], |history| {
        history.system_rooms.push((1, 3));
    }),
];

const DELIVERY: &[Row] = &[
    row("an event is delivered twice", &[Rule::DeliveredTwice], |history| {
        history.views[1].entries.insert(1, created(1, "a"));
    }),
    row("events change places", &[Rule::OutOfOrder], |history| {
        history.views[1].entries.swap(0, 1);
    }),
    row("a message is not delivered", &[Rule::NotDelivered], |history| {
        history.views[1].entries.remove(0);
    }),
    row("an edit is not delivered", &[Rule::NotDelivered], |history| {
        history.views[1].entries.pop();
    }),
    row("a deletion is not delivered", &[Rule::NotDelivered], |history| {
        history.sends[2].change = Some(Change { kind: ChangeKind::Delete, is_confirmed: true });
        room(history).messages.remove(&13);
        use_number_5(history);
        let kind = EventKind::Deleted;
        let deleted = Event { seq: 5, message: 13, delivered_at: 5 * SECOND, kind };
        history.views[0].entries.push(Entry::Event(deleted));
    }),
    row("a replay leaves an overtaken number out", &[], |history| {
        history.views[1].entries = vec![created(1, "a"), created(2, "b edited"), created(3, "c")];
    }),
    row("a resync replaces events", &[], |history| {
        history.views[1].entries = vec![Entry::Resync { last_seq: 2 }, created(3, "c"), edited()];
    }),
    row("a number means two messages", &[Rule::ConflictingSeq], |history| {
        event(history, 3).message = 14;
        event(history, 1).kind =
            EventKind::Created { content: "b edited".to_owned(), created_at: 2 * SECOND };
    }),
];

const REMOVALS: &[Row] = &[
    row("events arrive after a removal", &[Rule::AfterRemoval], |history| {
        remove_user_2(history, 2 * SECOND);
    }),
    row("no events arrive after a removal", &[], |history| {
        remove_user_2(history, 2 * SECOND);
        history.views[1].entries.truncate(3);
    }),
    row("a message before a removal is not delivered", &[Rule::NotDelivered], |history| {
        remove_user_2(history, 3 * SECOND);
        history.views[1].entries.remove(0);
    }),
];

const SESSIONS: &[Row] = &[
    row("a gateway forgets an ended session", &[Rule::AfterSessionEnd], |history| {
        ended_session(history, 20).served = vec![20 * SECOND, 22 * SECOND];
    }),
    row("a session is served for less than a second", &[], |history| {
        ended_session(history, 20).served = vec![20 * SECOND + SECOND / 2];
    }),
    row("a socket gets a message after the end", &[Rule::AfterSessionEnd], |history| {
        ended_session(history, 20).delivered = vec![22 * SECOND];
    }),
    row("a socket gets a message before the end", &[], |history| {
        ended_session(history, 20).delivered = vec![19 * SECOND];
    }),
    row("a socket stays open", &[Rule::AfterSessionEnd], |history| {
        ended_session(history, 20).closed_at = None;
    }),
    row("a session is served while a gateway may not know of its end", &[], |history| {
        let session = ended_session(history, 2);
        session.served = vec![7 * SECOND];
        session.delivered = vec![7 * SECOND];
        session.closed_at = Some(8 * SECOND);
    }),
    row("a session is served because of a fault elsewhere", &[Rule::AfterSessionEnd], |history| {
        history.faults[0].delays_ends_of_sessions = false;
        ended_session(history, 2).served = vec![7 * SECOND];
    }),
    row("a session is served longer after a fault", &[Rule::AfterSessionEnd], |history| {
        ended_session(history, 2).served = vec![9 * SECOND];
    }),
    row(
        "a gateway without auth serves a session for too long",
        &[Rule::AfterSessionEnd, Rule::LateRecovery],
        |history| {
            history.faults[0].ended_at = 12 * SECOND;
            ended_session(history, 2).served = vec![9 * SECOND];
        },
    ),
];

const ANSWERS: &[Row] = &[
    row("two messages of a sender change places", &[Rule::SenderReordered], |history| {
        history.sends.swap(0, 1);
    }),
    row("two messages of a burst change places", &[Rule::SenderReordered], |history| {
        swap_in_burst(history, 1);
    }),
    row("a repeated message changes its place in its burst", &[], |history| {
        swap_in_burst(history, 2);
    }),
    row("a repeated message leaves its burst", &[Rule::SenderReordered], |history| {
        history.sends.swap(0, 1);
        history.sends[1].attempts = 2;
    }),
    row("a message is never answered", &[Rule::Unanswered], |history| {
        add_send(history, 1, SendResult::Unanswered);
    }),
    row("a message is refused to a member", &[Rule::Unanswered], |history| {
        add_send(history, 2, SendResult::Refused);
    }),
    row("a message is refused to a removed member", &[], |history| {
        add_send(history, 2, SendResult::Refused);
        remove_user_2(history, 10 * SECOND);
    }),
    row("a misbehaving client gets a wrong answer", &[Rule::MisbehavingClients], |history| {
        history.faults[0].breaches.push("close code 1011".to_owned());
    }),
];

const RECOVERY: &[Row] = &[
    row("a subscriber is live 3 s later", &[], |history| delay(history, 1, 3 * SECOND)),
    row("a subscriber is live 6 s later", &[Rule::LateRecovery], |history| {
        delay(history, 1, 6 * SECOND);
    }),
    row("a subscriber is live after the next fault", &[Rule::LateRecovery], |history| {
        delay(history, 1, 60 * SECOND);
    }),
    row("one of two rooms is never live", &[Rule::LateRecovery], |history| {
        delay(history, 0, 60 * SECOND);
        delay(history, 1, 60 * SECOND);
        let other = View { room: ROOM + 1, ..view(3) };
        history.stored.insert(other.room, history.stored[&ROOM].clone());
        history.views.push(other);
    }),
    row("one of two rooms has no messages", &[], |history| {
        history.views.push(View { user: 2, room: ROOM + 1, entries: Vec::new() });
    }),
];

const RESOURCES: &[Row] = &[
    row("tasks are kept", &[Rule::ResourceLeak], |history| usage(history).tasks = 100),
    row("pools have more tasks", &[], |history| usage(history).tasks = 50),
    row("connections are kept", &[Rule::ResourceLeak], |history| usage(history).descriptors = 60),
    row("pools have more connections", &[], |history| usage(history).descriptors = 40),
    row("memory is kept", &[Rule::ResourceLeak], |history| usage(history).memory = 120 * MIB),
    row("an allocator keeps memory", &[], |history| usage(history).memory = 100 * MIB),
    row("a process has no last sample", &[Rule::ResourceLeak], |history| {
        history.footprints[0].samples.truncate(100);
    }),
    row("a process has no samples", &[Rule::ResourceLeak], |history| {
        history.footprints[0].samples.clear();
    }),
    row("memory grows by 10 MiB a minute", &[Rule::ResourceLeak], |history| {
        add_memory(history, |seconds| seconds * 10 * MIB / 60);
    }),
    row("memory grows by 2 MiB a minute", &[], |history| {
        add_memory(history, |seconds| seconds * 2 * MIB / 60);
    }),
    row("memory grows for a while and shrinks again", &[], |history| {
        add_memory(history, |seconds| if (120..140).contains(&seconds) { 300 * MIB } else { 0 });
    }),
    row("memory grows once", &[], |history| {
        add_memory(history, |seconds| if seconds > 130 { 40 * MIB } else { 0 });
    }),
    row("memory grows only at first", &[], |history| {
        add_memory(history, |seconds| seconds.min(60) * MIB / 2);
    }),
];

/// Three messages of user 1 that users 1 and 2, who are contacts, got. Message 12 was edited with
/// number 4. A fault ended at 2.5 s.
fn good() -> History {
    let keys = ["a", "b", "c"];
    let send = |index: usize| Send {
        sender: 1,
        room: ROOM,
        key: keys[index].to_owned(),
        burst: index,
        attempts: 1,
        result: SendResult::Acknowledged { message: 11 + index as i64, seq: 1 + index as i64 },
        change: (index == 1).then_some(Change { kind: ChangeKind::Edit, is_confirmed: true }),
    };
    let messages = [(11, 1, "a"), (12, 2, "b edited"), (13, 3, "c")];
    let messages: BTreeMap<_, _> = messages
        .map(|(id, seq, content)| (id, StoredMessage { seq, content: content.to_owned() }))
        .into();
    let stored = StoredRoom { messages, seqs: (1..=4).collect(), last_seq: 4 };
    History {
        sends: (0..3).map(send).collect(),
        views: vec![view(1), view(2)],
        removals: Vec::new(),
        ended_sessions: Vec::new(),
        stored: [(ROOM, stored)].into(),
        contacts: [(1, 2)].into(),
        system_rooms: vec![(1, 2)],
        faults: vec![FaultRecord {
            name: "a fault".to_owned(),
            begun_at: 3 * SECOND / 2,
            ended_at: 5 * SECOND / 2,
            delays_ends_of_sessions: true,
            observed_until: 20 * SECOND,
            breaches: Vec::new(),
        }],
        footprints: vec![footprint()],
    }
}

/// Two samples at idle, five minutes under load with a restart after two minutes, and the end.
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
    let entries = vec![created(1, "a"), created(2, "b"), created(3, "c"), edited()];
    View { user, room: ROOM, entries }
}

/// A message that was committed at as many seconds as its number, and delivered 10 ms later.
fn created(seq: i64, content: &str) -> Entry {
    let created_at = seq * SECOND;
    let kind = EventKind::Created { content: content.to_owned(), created_at };
    Entry::Event(Event { seq, message: seq + 10, delivered_at: created_at + 10_000, kind })
}

fn edited() -> Entry {
    let kind = EventKind::Edited { content: "b edited".to_owned(), edited_at: 4 * SECOND };
    Entry::Event(Event { seq: 4, message: 12, delivered_at: 4 * SECOND + 10_000, kind })
}

fn room(history: &mut History) -> &mut StoredRoom {
    history.stored.get_mut(&ROOM).unwrap()
}

fn use_number_5(history: &mut History) {
    room(history).seqs.insert(5);
    room(history).last_seq = 5;
}

/// An event of user 2.
fn event(history: &mut History, index: usize) -> &mut Event {
    let Entry::Event(event) = &mut history.views[1].entries[index] else { unreachable!() };
    event
}

/// A session of user 1 that ended at this second, and whose socket was closed at once.
fn ended_session(history: &mut History, second: i64) -> &mut EndedSession {
    let answered_at = second * SECOND;
    history.ended_sessions.push(EndedSession {
        user: 1,
        session: 5,
        answered_at,
        served: Vec::new(),
        delivered: Vec::new(),
        closed_at: Some(answered_at),
        watched_until: answered_at + 8 * SECOND,
    });
    history.ended_sessions.last_mut().unwrap()
}

fn remove_user_2(history: &mut History, answered_at: i64) {
    history.removals.push(Removal { user: 2, room: ROOM, answered_at });
}

fn add_send(history: &mut History, sender: i64, result: SendResult) {
    let send = Send { sender, result, key: "d".to_owned(), ..history.sends[0].clone() };
    history.sends.push(send);
}

/// Makes the first two messages a burst that was stored in the other order.
fn swap_in_burst(history: &mut History, attempts: u32) {
    history.sends.swap(0, 1);
    history.sends[1].burst = history.sends[0].burst;
    history.sends[1].attempts = attempts;
}

/// Delivers everything after the fault later.
fn delay(history: &mut History, view: usize, by: i64) {
    for entry in &mut history.views[view].entries[2..] {
        let Entry::Event(event) = entry else { unreachable!() };
        event.delivered_at += by;
    }
}

/// The last usage of the process.
fn usage(history: &mut History) -> &mut Usage {
    &mut history.footprints[0].samples.last_mut().unwrap().usage
}

/// Adds memory by the seconds since the restart.
fn add_memory(history: &mut History, added: fn(u64) -> u64) {
    let samples = history.footprints[0].samples.iter_mut();
    for sample in samples.filter(|sample| sample.incarnation == 2) {
        let seconds = u64::try_from(sample.at / SECOND).unwrap() - 120;
        sample.usage.memory += added(seconds);
    }
}
