//! Reading the changes in a range of numbers.

use std::collections::BTreeMap;

use parlance_proto::messaging::event::Kind;
use parlance_proto::messaging::{Event, Message};

use crate::app::{OWNER, TestApp};
use crate::gateway::describe;

fn describe_all(events: &[Event]) -> Vec<(i64, String)> {
    events.iter().map(|event| (event.seq, describe(event))).collect()
}

fn pair(seq: i64, text: &str) -> (i64, String) {
    (seq, text.to_owned())
}

#[tokio::test]
async fn changes_show_the_current_content_and_overtaken_ones_are_skipped() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach().await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d"] {
        ids.push(gateway.store(room_id, name).await.id);
    }
    app.edit(OWNER, ids[0], "a2").await.unwrap(); // 5, overtaken by 7
    app.delete(OWNER, ids[1]).await.unwrap(); // 6
    app.edit(OWNER, ids[0], "a3").await.unwrap(); // 7
    let late = gateway.store(room_id, "e").await.id; // 8
    app.edit(OWNER, late, "e2").await.unwrap(); // 9
    app.edit(OWNER, ids[2], "c2").await.unwrap(); // 10, overtaken by 11
    app.delete(OWNER, ids[2]).await.unwrap(); // 11

    let deleted = |place: usize| format!("deleted {}", ids[place]);
    for (after, up_to, expected) in [
        (0, 11, vec![pair(1, "created a3"), pair(4, "created d"), pair(8, "created e2")]),
        (0, 4, vec![pair(1, "created a3"), pair(4, "created d")]),
        (1, 4, vec![pair(4, "created d")]),
        (2, 6, vec![pair(4, "created d"), (6, deleted(1))]),
        (4, 5, vec![]),
        (4, 7, vec![(6, deleted(1)), pair(7, "edited a3")]),
        (
            4,
            11,
            vec![(6, deleted(1)), pair(7, "edited a3"), pair(8, "created e2"), (11, deleted(2))],
        ),
        (7, 8, vec![pair(8, "created e2")]),
        (8, 11, vec![pair(9, "edited e2"), (11, deleted(2))]),
        (9, 10, vec![]),
        (11, 11, vec![]),
    ] {
        let changes = app.changes(room_id, after, up_to).await;
        assert_eq!(describe_all(&changes.events), expected, "({after}, {up_to}]");
        assert_eq!(changes.complete_up_to_seq, up_to);
    }
}

#[tokio::test]
async fn changes_of_other_rooms_are_not_returned() {
    let app = TestApp::start().await;
    let (room_id, other_room) = (app.rooms.room().await, app.rooms.room().await);
    let mut gateway = app.attach().await;
    gateway.store(other_room, "there").await;
    gateway.store(room_id, "here").await;
    assert_eq!(describe_all(&app.changes(room_id, 0, 1).await.events), [pair(1, "created here")]);
}

#[tokio::test]
async fn many_changes_come_in_pages_that_say_how_far_they_are_complete() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach().await;
    for batch in 0..7 {
        gateway.store_many(room_id, (0..300).map(|number| format!("g:{batch}-{number}"))).await;
    }
    let mut seqs: Vec<i64> = Vec::new();
    let mut complete_up_to = 0;
    let mut sizes = Vec::new();
    while complete_up_to < 2_100 {
        let page = app.changes(room_id, complete_up_to, 2_100).await;
        sizes.push(page.events.len());
        seqs.extend(page.events.iter().map(|event| event.seq));
        complete_up_to = page.complete_up_to_seq;
    }
    assert_eq!(complete_up_to, 2_100);
    assert!(sizes.len() >= 3 && sizes.iter().all(|&size| size <= 1_000), "{sizes:?}");
    assert_eq!(seqs, (1..=2_100).collect::<Vec<_>>());
}

/// The messages of a client after it has applied events.
#[derive(Default)]
struct View(BTreeMap<i64, Message>);

impl View {
    fn apply(&mut self, event: &Event) {
        match event.kind.clone().unwrap() {
            Kind::Created(message) | Kind::Edited(message) => {
                drop(self.0.insert(message.id, message))
            }
            Kind::DeletedMessageId(id) => drop(self.0.remove(&id)),
            Kind::Typing(_) => {}
        }
    }

    fn into_messages(self) -> Vec<Message> {
        self.0.into_values().collect()
    }
}

#[tokio::test]
async fn catching_up_from_any_number_gives_the_same_messages_as_live_delivery() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach_to(room_id).await;
    let mut ids = Vec::new();
    for number in 0..60_usize {
        match number % 5 {
            3 => {
                drop(app.edit(OWNER, ids[number * 7 % ids.len()], &format!("edit {number}")).await)
            }
            4 => drop(app.delete(OWNER, ids[number * 11 % ids.len()]).await),
            _ => ids.push(gateway.store(room_id, &format!("g:{number}")).await.id),
        }
    }
    // The number of the last message is the `last_seq` of the room.
    let last_seq = gateway.store(room_id, "g:end").await.seq;
    gateway.wait_for_event(room_id, last_seq).await;
    let mut live = gateway.received.events.clone();
    live.sort_by_key(|event| event.seq);
    assert_eq!(live.len() as i64, last_seq);
    let history = app.whole_history(room_id).await;

    for missed_from in 0..=last_seq {
        let mut view = View::default();
        live.iter()
            .take_while(|event| event.seq <= missed_from)
            .for_each(|event| view.apply(event));
        app.changes(room_id, missed_from, last_seq)
            .await
            .events
            .iter()
            .for_each(|event| view.apply(event));
        assert_eq!(view.into_messages(), history, "from {missed_from}");
    }
}
