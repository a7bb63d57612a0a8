//! Rooms that another transaction has locked.

use std::time::Duration;

use parlance_core::ErrorCode;
use parlance_proto::messaging::answer::Outcome;
use parlance_proto::messaging::{Answer, AttachRequest};
use sqlx::{Connection, PgConnection, Transaction};

use crate::app::{OUTSIDER, OWNER, TestApp};
use crate::gateway::{Gateway, seqs};

/// Locks a room until the transaction ends.
async fn lock_room(database: &mut PgConnection, room_id: i64) -> Transaction<'_, sqlx::Postgres> {
    let mut transaction = database.begin().await.unwrap();
    let lock =
        sqlx::query("SELECT FROM messaging.room_heads WHERE room_id = $1 FOR UPDATE").bind(room_id);
    assert_eq!(lock.execute(&mut *transaction).await.unwrap().rows_affected(), 1);
    transaction
}

/// Creates two rooms with a message each, and a gateway that subscribes to both.
async fn two_rooms(app: &TestApp) -> (Gateway, i64, i64) {
    let (locked, free) = (app.rooms.room().await, app.rooms.room().await);
    let mut gateway = app.attach_to(locked).await;
    gateway.subscribe(free, OWNER).await.unwrap();
    for room_id in [locked, free] {
        gateway.store(room_id, "g:first").await;
    }
    (gateway, locked, free)
}

fn ids(answers: &[Answer]) -> Vec<u64> {
    answers.iter().map(|answer| answer.request_id).collect()
}

#[tokio::test]
async fn a_locked_room_delays_no_other_and_keeps_its_order() {
    let app = TestApp::start().await;
    let (mut gateway, locked, free) = two_rooms(&app).await;
    let mut database = app.database().await;
    let lock = lock_room(&mut database, locked).await;
    let mut deferred = Vec::new();
    for number in 0..8 {
        let key = format!("g:{number}");
        // The second of each three is refused.
        let drafts = [
            gateway.draft(locked, OWNER, &key, &key),
            gateway.draft(locked, OUTSIDER, &key, &key),
            gateway.draft(free, OWNER, &key, &key),
        ];
        deferred.extend([drafts[0].request_id, drafts[1].request_id]);
        let answered = drafts[2].request_id;
        gateway.request(AttachRequest { sends: drafts.to_vec(), ..AttachRequest::default() }).await;
        gateway
            .wait("the answer about the free room", |it| ids(&it.answers).contains(&answered))
            .await;
        assert!(ids(&gateway.received.answers).iter().all(|id| !deferred.contains(id)));
        assert_eq!(seqs(&gateway.received.events, free).len(), 2 + number);
    }
    lock.rollback().await.unwrap();

    let last = *deferred.last().unwrap();
    gateway.wait("the answers about the locked room", |it| ids(&it.answers).contains(&last)).await;
    gateway.received.answers.retain(|answer| deferred.contains(&answer.request_id));
    assert_eq!(gateway.received.answers.len(), deferred.len());
    // Each sender has its answers in its order. Senders are served in turn.
    let is_error = |answer: &&Answer| matches!(answer.outcome, Some(Outcome::Error(_)));
    let (refused, stored): (Vec<&Answer>, Vec<&Answer>) =
        gateway.received.answers.iter().partition(is_error);
    let sent = |first: usize| deferred.iter().copied().skip(first).step_by(2).collect::<Vec<_>>();
    let answered = |answers: Vec<&Answer>| {
        answers.into_iter().map(|answer| answer.request_id).collect::<Vec<_>>()
    };
    assert_eq!((answered(stored), answered(refused)), (sent(0), sent(1)));
    assert_eq!(seqs(&gateway.received.events, locked), (1..=9).collect::<Vec<_>>());
    let keys = ["g:first", "g:0", "g:1", "g:2", "g:3", "g:4", "g:5", "g:6", "g:7"];
    let history = app.whole_history(locked).await;
    assert_eq!(history.iter().map(|message| message.content.as_str()).collect::<Vec<_>>(), keys);

    // Later messages are stored at once again.
    assert_eq!(gateway.store(locked, "g:last").await.seq, 10);
}

#[tokio::test]
async fn other_rooms_in_the_batch_of_a_locked_room_are_numbered_without_gaps() {
    let app = TestApp::start().await;
    let mut gateway = app.attach().await;
    let mut rooms = Vec::new();
    for messages in 1..=5 {
        let room_id = app.rooms.room().await;
        gateway.store_many(room_id, (0..messages).map(|number| format!("g:{number}"))).await;
        rooms.push(room_id);
    }
    for (place, &locked) in rooms.iter().enumerate() {
        let mut database = app.database().await;
        let lock = lock_room(&mut database, locked).await;
        let key = format!("g:other {place}");
        let sends: Vec<_> =
            rooms.iter().map(|&room_id| gateway.draft(room_id, OWNER, &key, &key)).collect();
        let deferred = sends[place].request_id;
        gateway.request(AttachRequest { sends, ..AttachRequest::default() }).await;
        gateway.wait("the answers about the others", |it| it.answers.len() == 4).await;
        lock.rollback().await.unwrap();
        gateway.wait("the answer about the locked one", |it| it.answers.len() == 5).await;
        assert_eq!(gateway.received.answers[4].request_id, deferred);
        let seq_of = |answer: &Answer| match &answer.outcome {
            Some(Outcome::Sent(sent)) => sent.message.as_ref().map(|message| message.seq),
            _ => None,
        };
        let mut answers = std::mem::take(&mut gateway.received.answers);
        answers.sort_by_key(|answer| answer.request_id);
        let expected: Vec<_> = (2..=6).map(|seq| Some(seq + place as i64)).collect();
        assert_eq!(answers.iter().map(seq_of).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_room_that_stays_locked_is_unavailable_and_others_are_served() {
    let app = TestApp::start().await;
    let (mut gateway, locked, free) = two_rooms(&app).await;
    let mut database = app.database().await;
    let lock = lock_room(&mut database, locked).await;
    assert_eq!(gateway.send(locked, OWNER, "g:1", "deferred").await, Err(ErrorCode::Unavailable));
    assert_eq!(gateway.store(free, "g:1").await.seq, 2);
    lock.rollback().await.unwrap();
    assert_eq!(gateway.store(locked, "g:1").await.seq, 2);
}

#[tokio::test]
async fn a_late_message_is_refused_before_younger_ones_of_its_room() {
    let app = TestApp::start().await;
    let (mut gateway, locked, free) = two_rooms(&app).await;
    let mut database = app.database().await;
    let lock = lock_room(&mut database, locked).await;
    let old = gateway.draft(locked, OWNER, "g:old", "old");
    let young = gateway.draft(locked, OWNER, "g:young", "young");
    let (old_id, young_id) = (old.request_id, young.request_id);
    gateway.request(AttachRequest { sends: vec![old], ..AttachRequest::default() }).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    gateway.request(AttachRequest { sends: vec![young], ..AttachRequest::default() }).await;
    gateway.wait("the answer to the old message", |it| ids(&it.answers).contains(&old_id)).await;
    assert!(!ids(&gateway.received.answers).contains(&young_id));
    assert_eq!(gateway.store(free, "g:1").await.seq, 2);
    lock.rollback().await.unwrap();
    gateway.wait("the answer to the young one", |it| ids(&it.answers).contains(&young_id)).await;
    // The old message was not stored, the young one was.
    assert_eq!(gateway.store(locked, "g:next").await.seq, 3);
}

#[tokio::test]
async fn a_message_sent_again_to_a_locked_room_is_a_duplicate() {
    let app = TestApp::start().await;
    let (mut gateway, locked, _) = two_rooms(&app).await;
    let mut database = app.database().await;
    let lock = lock_room(&mut database, locked).await;
    let again = gateway.draft(locked, OWNER, "g:first", "again");
    let id = again.request_id;
    gateway.request(AttachRequest { sends: vec![again], ..AttachRequest::default() }).await;
    lock.rollback().await.unwrap();
    gateway.wait("the answer", |it| ids(&it.answers).contains(&id)).await;
    let answer = gateway.received.answers.iter().find(|answer| answer.request_id == id).unwrap();
    let Some(Outcome::Sent(sent)) = &answer.outcome else { unreachable!("{answer:?}") };
    assert!(sent.duplicate);
    assert_eq!(sent.message.as_ref().unwrap().content, "g:first");
}
