//! Rooms whose heads somebody else has locked.

use parlance_core::ErrorCode;
use parlance_proto::messaging::answer::Outcome;
use parlance_proto::messaging::{Answer, AttachRequest};
use sqlx::{Connection, PgConnection, Transaction};

use crate::app::{OWNER, STRANGER, TestApp};
use crate::link::{Link, seqs};

/// Holds the head of a room until it is dropped.
async fn lock(database: &mut PgConnection, room_id: i64) -> Transaction<'_, sqlx::Postgres> {
    let mut transaction = database.begin().await.unwrap();
    let lock =
        sqlx::query("SELECT FROM messaging.room_heads WHERE room_id = $1 FOR UPDATE").bind(room_id);
    assert_eq!(lock.execute(&mut *transaction).await.unwrap().rows_affected(), 1);
    transaction
}

/// Two rooms that have a message each, and somebody who listens to both.
async fn two_rooms(app: &TestApp) -> (Link, i64, i64) {
    let (busy, free) = (app.rooms.room().await, app.rooms.room().await);
    let mut link = app.attach_to(busy).await;
    link.subscribe(free, OWNER).await.unwrap();
    for room_id in [busy, free] {
        link.store(room_id, "g:first").await;
    }
    (link, busy, free)
}

fn ids(answers: &[Answer]) -> Vec<u64> {
    answers.iter().map(|answer| answer.request_id).collect()
}

#[tokio::test]
async fn a_room_that_is_locked_holds_up_no_other_and_keeps_its_order() {
    let app = TestApp::start().await;
    let (mut link, busy, free) = two_rooms(&app).await;
    let mut database = app.database().await;
    let lock = lock(&mut database, busy).await;
    let mut held_up = Vec::new();
    for number in 0..8 {
        let key = format!("g:{number}");
        // The second of each three is refused, and waits for its turn like the others.
        let drafts = [
            link.draft(busy, OWNER, &key, &key),
            link.draft(busy, STRANGER, &key, &key),
            link.draft(free, OWNER, &key, &key),
        ];
        held_up.extend([drafts[0].request_id, drafts[1].request_id]);
        let answered = drafts[2].request_id;
        link.ask(AttachRequest { sends: drafts.to_vec(), ..AttachRequest::default() }).await;
        link.wait("the answer about the free room", |it| ids(&it.answers).contains(&answered))
            .await;
        assert!(ids(&link.received.answers).iter().all(|id| !held_up.contains(id)));
        assert_eq!(seqs(&link.received.events, free).len(), 2 + number);
    }
    lock.rollback().await.unwrap();

    let last = *held_up.last().unwrap();
    link.wait("the answers about the busy room", |it| ids(&it.answers).contains(&last)).await;
    link.received.answers.retain(|answer| held_up.contains(&answer.request_id));
    assert_eq!(ids(&link.received.answers), held_up);
    let is_refusal = |answer: &Answer| matches!(answer.outcome, Some(Outcome::Error(_)));
    let refusals: Vec<bool> = link.received.answers.iter().map(is_refusal).collect();
    assert_eq!(refusals, [false, true].repeat(8));
    assert_eq!(seqs(&link.received.events, busy), (1..=9).collect::<Vec<_>>());
    let keys = ["g:first", "g:0", "g:1", "g:2", "g:3", "g:4", "g:5", "g:6", "g:7"];
    let history = app.whole_history(busy).await;
    assert_eq!(history.iter().map(|message| message.content.as_str()).collect::<Vec<_>>(), keys);

    // It is a room like any other again.
    assert_eq!(link.store(busy, "g:last").await.seq, 10);
}

#[tokio::test]
async fn rooms_beside_one_that_is_locked_are_numbered_as_ever() {
    let app = TestApp::start().await;
    let mut link = app.attach().await;
    let mut rooms = Vec::new();
    for messages in 1..=5 {
        let room_id = app.rooms.room().await;
        link.store_many(room_id, (0..messages).map(|number| format!("g:{number}"))).await;
        rooms.push(room_id);
    }
    for (place, &busy) in rooms.iter().enumerate() {
        let mut database = app.database().await;
        let lock = lock(&mut database, busy).await;
        let key = format!("g:beside {place}");
        let sends: Vec<_> =
            rooms.iter().map(|&room_id| link.draft(room_id, OWNER, &key, &key)).collect();
        let held_up = sends[place].request_id;
        link.ask(AttachRequest { sends, ..AttachRequest::default() }).await;
        link.wait("the answers about the others", |it| it.answers.len() == 4).await;
        lock.rollback().await.unwrap();
        link.wait("the answer about the busy one", |it| it.answers.len() == 5).await;
        assert_eq!(link.received.answers[4].request_id, held_up);
        let seq_of = |answer: &Answer| match &answer.outcome {
            Some(Outcome::Sent(sent)) => sent.message.as_ref().map(|message| message.seq),
            _ => None,
        };
        let mut answers = std::mem::take(&mut link.received.answers);
        answers.sort_by_key(|answer| answer.request_id);
        let expected: Vec<_> = (2..=6).map(|seq| Some(seq + place as i64)).collect();
        assert_eq!(answers.iter().map(seq_of).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_room_that_stays_locked_is_unavailable_and_all_others_are_served() {
    let app = TestApp::start().await;
    let (mut link, busy, free) = two_rooms(&app).await;
    let mut database = app.database().await;
    let lock = lock(&mut database, busy).await;
    assert_eq!(link.send(busy, OWNER, "g:1", "held up").await, Err(ErrorCode::Unavailable));
    assert_eq!(link.store(free, "g:1").await.seq, 2);
    lock.rollback().await.unwrap();
    assert_eq!(link.store(busy, "g:1").await.seq, 2);
}

#[tokio::test]
async fn a_message_sent_again_to_a_locked_room_is_the_first_one() {
    let app = TestApp::start().await;
    let (mut link, busy, _) = two_rooms(&app).await;
    let mut database = app.database().await;
    let lock = lock(&mut database, busy).await;
    let again = link.draft(busy, OWNER, "g:first", "again");
    let id = again.request_id;
    link.ask(AttachRequest { sends: vec![again], ..AttachRequest::default() }).await;
    lock.rollback().await.unwrap();
    link.wait("the answer", |it| ids(&it.answers).contains(&id)).await;
    let answer = link.received.answers.iter().find(|answer| answer.request_id == id).unwrap();
    let Some(Outcome::Sent(sent)) = &answer.outcome else { unreachable!("{answer:?}") };
    assert!(sent.duplicate);
    assert_eq!(sent.message.as_ref().unwrap().content, "g:first");
}
