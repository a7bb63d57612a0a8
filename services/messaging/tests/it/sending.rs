//! Sending: the order in which messages are stored, and refusals.

use std::cell::RefCell;

use futures_util::future::join_all;
use parlance_core::ErrorCode;
use parlance_proto::messaging::{Message, Send};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::app::{FRIEND, OUTSIDER, OWNER, TestApp, eventually};
use crate::gateway::{SendResult, describe, seqs};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_parallel_senders_on_two_replicas_make_one_order_without_gaps() {
    const SENDERS: usize = 50;
    const EACH: usize = 10;
    const ALL: i64 = (SENDERS * EACH) as i64;
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room_of_two().await;
    let (mut here, mut there) = (app.attach_to(room_id).await, other.attach_to(room_id).await);

    let senders = (0..SENDERS).map(|sender| {
        let replica = if sender % 2 == 0 { &app } else { &other };
        async move {
            let mut gateway = replica.attach().await;
            let user = if sender % 4 < 2 { OWNER } else { FRIEND };
            let mut sent = Vec::new();
            for number in 0..EACH {
                let text = format!("g:{sender}-{number}");
                sent.push(
                    gateway.send(room_id, user, &text, &text).await.unwrap().message.unwrap(),
                );
            }
            sent
        }
    });
    let acked = join_all(senders).await;
    for sent in &acked {
        assert!(
            sent.is_sorted_by_key(|message| message.seq),
            "a sender's messages keep their order"
        );
    }

    let history = app.whole_history(room_id).await;
    assert_eq!(
        history.iter().map(|message| message.seq).collect::<Vec<_>>(),
        (1..=ALL).collect::<Vec<_>>()
    );
    assert!(history.is_sorted_by(|a, b| a.id < b.id && a.created_at_us < b.created_at_us));
    let mut acked: Vec<Message> = acked.into_iter().flatten().collect();
    acked.sort_by_key(|message| message.seq);
    let places = |messages: &[Message]| -> Vec<_> {
        messages.iter().map(|m| (m.seq, m.id, m.created_at_us, m.sender_id)).collect()
    };
    assert_eq!(places(&acked), places(&history), "answers match the stored messages");

    for gateway in [&mut here, &mut there] {
        gateway
            .wait("all events", |received| seqs(&received.events, room_id).len() == ALL as usize)
            .await;
        let mut delivered = gateway.received.events.clone();
        delivered.sort_by_key(|event| event.seq);
        let texts: Vec<String> =
            history.iter().map(|message| format!("created {}", message.content)).collect();
        assert_eq!(
            delivered.iter().map(describe).collect::<Vec<_>>(),
            texts,
            "every subscriber gets all events"
        );
    }
}

#[tokio::test]
async fn each_room_has_its_own_numbers_and_a_batch_keeps_its_order() {
    let app = TestApp::start().await;
    let rooms = [app.rooms.room().await, app.rooms.room().await, app.rooms.room().await];
    let mut gateway = app.attach().await;
    let drafts = (0..30)
        .map(|number| {
            gateway.draft(rooms[number % 3], OWNER, &format!("g:{number}"), &number.to_string())
        })
        .collect();
    let results = gateway.send_batch(drafts).await;
    for (number, result) in results.into_iter().enumerate() {
        let message = result.unwrap().message.unwrap();
        assert_eq!((message.room_id, message.seq), (rooms[number % 3], number as i64 / 3 + 1));
    }
    for room_id in rooms {
        let history = app.whole_history(room_id).await;
        assert!(history.is_sorted_by(|a, b| {
            a.id < b.id && a.created_at_us < b.created_at_us && a.updated_at_us < b.updated_at_us
        }));
    }
}

#[tokio::test]
async fn replicas_that_write_to_the_same_rooms_at_once_store_all_messages() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let mut rooms = Vec::new();
    for _ in 0..12 {
        rooms.push(app.rooms.room().await);
    }
    let send_all = async |replica: &TestApp, name: &str, rooms: Vec<i64>| {
        let mut gateway = replica.attach().await;
        for round in 0..10 {
            let drafts = rooms
                .iter()
                .map(|&room| gateway.draft(room, OWNER, &format!("g:{name}{round}"), name));
            let drafts = drafts.collect();
            assert!(gateway.send_batch(drafts).await.iter().all(Result::is_ok));
        }
    };
    let backwards = rooms.iter().rev().copied().collect();
    tokio::join!(send_all(&app, "a", rooms.clone()), send_all(&other, "b", backwards));
    for room_id in rooms {
        let seqs: Vec<i64> =
            app.whole_history(room_id).await.iter().map(|message| message.seq).collect();
        assert_eq!(seqs, (1..=20).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn content_is_stored_exactly_as_sent() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach().await;
    let long = "é".repeat(8_192);
    for (number, content) in
        ["  a  ", "\u{FEFF}\r\n\t x", "e\u{301} é \u{202E}", "👩‍👩‍👧", "{\"a\":'b'}\\", &long]
            .into_iter()
            .enumerate()
    {
        gateway.send(room_id, OWNER, &format!("g:{number}"), content).await.unwrap();
        assert_eq!(app.whole_history(room_id).await[number].content, content);
    }
}

#[tokio::test]
async fn only_members_may_send_and_other_messages_of_the_batch_are_stored() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room_of_two().await;
    let (deleted, unknown) = (app.rooms.room().await, i64::MAX);
    app.rooms.delete(deleted).await;
    let mut gateway = app.attach().await;
    let drafts = vec![
        gateway.draft(room_id, OUTSIDER, "g:1", "no"),
        gateway.draft(room_id, FRIEND, "g:2", "first"),
        gateway.draft(unknown, OWNER, "g:3", "no"),
        gateway.draft(deleted, OWNER, "g:4", "no"),
        gateway.draft(-1, OWNER, "g:5", "no"),
        gateway.draft(room_id, OWNER, "g:6", "second"),
    ];
    let results = gateway.send_batch(drafts).await;
    let results: Vec<_> =
        results.into_iter().map(|sent| sent.map(|sent| sent.message.unwrap().seq)).collect();
    let no_room = Err(ErrorCode::RoomNotFound);
    assert_eq!(results, [Err(ErrorCode::NotAMember), Ok(1), no_room, no_room, no_room, Ok(2)]);
    assert_eq!(app.whole_history(room_id).await.len(), 2);
}

#[tokio::test]
async fn a_membership_change_applies_to_the_next_send() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room_of_two().await;
    let mut gateway = app.attach().await;
    gateway.send(room_id, FRIEND, "g:1", "still in").await.unwrap();
    app.rooms.remove_friend(room_id).await;
    assert_eq!(gateway.send(room_id, FRIEND, "g:2", "out").await, Err(ErrorCode::NotAMember));
    app.rooms.delete(room_id).await;
    assert_eq!(gateway.send(room_id, OWNER, "g:3", "gone").await, Err(ErrorCode::RoomNotFound));
}

#[tokio::test]
async fn a_message_that_cannot_be_stored_fails_alone() {
    let app = TestApp::start().await;
    let (room_id, other_room) = (app.rooms.room().await, app.rooms.room().await);
    let mut gateway = app.attach().await;
    let mut drafts = Vec::new();
    for number in 0..20 {
        let content = if number % 7 == 3 { "poi\0son".to_owned() } else { number.to_string() };
        let room_id = if number % 2 == 0 { room_id } else { other_room };
        drafts.push(gateway.draft(room_id, OWNER, &format!("g:{number}"), &content));
    }
    let results = gateway.send_batch(drafts).await;
    for (number, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), number % 7 == 3, "{number}: {result:?}");
    }
    for room_id in [room_id, other_room] {
        let history = app.whole_history(room_id).await;
        let numbers: Vec<usize> =
            history.iter().map(|message| message.content.parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "splitting keeps the order: {numbers:?}");
        assert_eq!(history.last().unwrap().seq, history.len() as i64, "and leaves no gap");
    }
}

thread_local! {
    /// The statements that sqlx logs on this thread, on which a single-threaded test runs the
    /// services, too.
    static STATEMENTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Collects the statements of each thread. A subscriber for one thread alone would miss statements
/// that were first logged on another.
struct StatementLog;

impl<S: Subscriber> Layer<S> for StatementLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        STATEMENTS.with_borrow_mut(|statements| statements.push(text.0));
    }
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{value:?} "));
    }
}

fn count_statements(part: &str) -> usize {
    STATEMENTS
        .with_borrow(|statements| statements.iter().filter(|text| text.contains(part)).count())
}

#[tokio::test]
async fn a_batch_costs_one_membership_check_and_one_statement() {
    let only_statements = Targets::new().with_target("sqlx::query", tracing::Level::DEBUG);
    tracing_subscriber::registry().with(StatementLog.with_filter(only_statements)).init();
    tracing::callsite::rebuild_interest_cache();
    let app = TestApp::start().await;
    let room_id = app.rooms.room_of_two().await;
    let mut gateway = app.attach_to(room_id).await;
    // The first message creates the row of the room.
    gateway.send(room_id, OWNER, "g:first", "first").await.unwrap();
    let count = || (count_statements("rooms.members"), count_statements("messaging.write_batch"));

    let before = count();
    gateway.send(room_id, OWNER, "g:alone", "alone").await.unwrap();
    let alone = count();
    assert_eq!((alone.0 - before.0, alone.1 - before.1), (1, 1));

    let drafts = (0..300)
        .map(|number| {
            let user = if number % 2 == 0 { OWNER } else { FRIEND };
            gateway.draft(room_id, user, &format!("g:{number}"), "one of many")
        })
        .collect();
    assert!(gateway.send_batch(drafts).await.iter().all(Result::is_ok));
    let many = count();
    assert_eq!((many.0 - alone.0, many.1 - alone.1), (1, 1));
}

#[tokio::test]
async fn answers_come_after_the_events_in_the_same_response_and_without_the_content() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach_to(room_id).await;
    let draft = gateway.draft(room_id, OWNER, "g:1", "hello");
    let request =
        parlance_proto::messaging::AttachRequest { sends: vec![draft], ..Default::default() };
    gateway.request(request).await;
    let response = gateway.next().await.unwrap();
    assert_eq!(response.events.iter().map(describe).collect::<Vec<_>>(), ["created hello"]);
    let Some(parlance_proto::messaging::answer::Outcome::Sent(sent)) = &response.answers[0].outcome
    else {
        unreachable!("{response:?}")
    };
    assert!(!sent.duplicate);
    assert_eq!(sent.message.as_ref().unwrap().content, "");
}

#[tokio::test]
async fn a_message_for_a_room_that_was_deleted_after_admission_is_refused() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach().await;
    gateway.store(room_id, "g:1").await;
    // The state after a deletion between the check and the write.
    let mut database = app.database().await;
    sqlx::query("UPDATE messaging.room_heads SET deleted = TRUE")
        .execute(&mut database)
        .await
        .unwrap();
    assert_eq!(gateway.send(room_id, OWNER, "g:2", "late").await, Err(ErrorCode::RoomNotFound));
    assert_eq!(app.whole_history(room_id).await.len(), 1);
}

#[tokio::test]
async fn a_deleted_room_is_marked_and_its_messages_are_purged() {
    let app = TestApp::start().await;
    let _other = app.replica().await;
    let (room_id, kept, empty) =
        (app.rooms.room().await, app.rooms.room().await, app.rooms.room().await);
    let mut gateway = app.attach().await;
    for batch in 0..5 {
        gateway.store_many(room_id, (0..300).map(|number| format!("g:{batch}-{number}"))).await;
    }
    gateway.store(kept, "g:kept").await;
    app.rooms.delete(room_id).await;
    app.rooms.delete(empty).await;

    let mut database = app.database().await;
    eventually("the messages are purged", async || {
        let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM messaging.messages")
            .fetch_one(&mut database)
            .await
            .unwrap();
        left == 1
    })
    .await;
    eventually("both rooms are marked deleted", async || {
        let deleted: Vec<i64> = sqlx::query_scalar(
            "SELECT room_id FROM messaging.room_heads WHERE deleted ORDER BY room_id",
        )
        .fetch_all(&mut database)
        .await
        .unwrap();
        deleted == [room_id, empty]
    })
    .await;
    assert_eq!(app.history(OWNER, room_id, 10, None).await, Err(ErrorCode::RoomNotFound));
    assert_eq!(app.whole_history(kept).await.len(), 1);
}

#[tokio::test]
async fn a_sender_with_many_messages_delays_no_other() {
    const MANY: usize = 3_000;
    let app = TestApp::start().await;
    let room_id = app.rooms.room_of_two().await;
    let mut gateway = app.attach().await;
    let mut sends: Vec<Send> = (0..MANY)
        .map(|number| gateway.draft(room_id, OWNER, &format!("g:{number}"), "many"))
        .collect();
    sends.push(gateway.draft(room_id, FRIEND, "g:one", "one"));
    let mut results = gateway.send_batch(sends).await;
    let seq = |result: &SendResult| result.as_ref().unwrap().message.as_ref().unwrap().seq;
    let one = seq(&results.pop().unwrap());
    assert!(one <= 400, "{one}: it is in the first batch");
    assert!(results.iter().is_sorted_by_key(seq), "a sender's messages keep their order");
}

#[tokio::test]
async fn a_sender_whose_share_of_the_queue_is_full_is_refused_alone() {
    const TOO_MANY: usize = 10_000;
    let app = TestApp::start().await;
    let room_id = app.rooms.room_of_two().await;
    let mut gateway = app.attach().await;
    let mut sends: Vec<Send> = (0..TOO_MANY)
        .map(|number| gateway.draft(room_id, OWNER, &format!("g:{number}"), "many"))
        .collect();
    sends.push(gateway.draft(room_id, FRIEND, "g:one", "one"));
    let mut results = gateway.send_batch(sends).await;
    assert!(results.pop().unwrap().is_ok());
    let refused = results.iter().filter_map(|result| result.as_ref().err());
    let refused: Vec<&ErrorCode> = refused.collect();
    assert!(refused.iter().all(|&&code| code == ErrorCode::RateLimited), "{refused:?}");
    assert!((1..TOO_MANY).contains(&refused.len()), "{}", refused.len());
}

#[tokio::test]
async fn a_message_is_not_stored_after_its_deadline() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach().await;
    let mut draft =
        |key: &str, deadline_us| Send { deadline_us, ..gateway.draft(room_id, OWNER, key, key) };
    let sends = vec![draft("g:late", 2_900_000), draft("g:timely", 5_000_000), draft("g:free", 0)];
    let results = gateway.send_batch_at(3_000_000, sends).await;
    let seqs: Vec<_> =
        results.into_iter().map(|result| result.map(|sent| sent.message.unwrap().seq)).collect();
    assert_eq!(seqs, [Err(ErrorCode::Unavailable), Ok(1), Ok(2)]);
}
