//! The tail: what Redis does not tell, the store does.

use std::time::Duration;

use sqlx::Connection;
use tokio::time::Instant;

use crate::app::{OWNER, TestApp, eventually};

#[tokio::test]
async fn without_redis_heads_come_within_the_interval() {
    let app = TestApp::start().await;
    let cut_off = app.replica_without_redis().await;
    let room_id = app.rooms.room().await;
    let mut link = cut_off.attach_to(room_id).await;
    let mut sender = app.attach().await;
    let message = sender.store(room_id, "g:1").await;
    let stored = Instant::now();
    link.head(room_id, 1).await;
    assert!(stored.elapsed() < Duration::from_secs(1), "{:?}", stored.elapsed());
    app.edit(OWNER, message.id, "edited").await.unwrap();
    link.head(room_id, 2).await;
    app.delete(OWNER, message.id).await.unwrap();
    link.head(room_id, 3).await;
    assert!(link.received.events.is_empty());
}

#[tokio::test]
async fn without_redis_messages_are_stored_and_told_to_those_attached_here() {
    let app = TestApp::start().await;
    let cut_off = app.replica_without_redis().await;
    let room_id = app.rooms.room().await;
    let (mut here, mut there) = (cut_off.attach_to(room_id).await, app.attach_to(room_id).await);
    here.store(room_id, "g:1").await;
    here.event(room_id, 1).await;
    there.head(room_id, 1).await;
    assert_eq!(app.changes(room_id, 0, 1).await.events.len(), 1);
}

#[tokio::test]
async fn what_was_told_as_an_event_is_not_told_again_as_a_head() {
    let app = TestApp::start().await;
    let (room_id, marker) = (app.rooms.room().await, app.rooms.room().await);
    let mut link = app.attach_to(room_id).await;
    link.subscribe(marker, OWNER).await.unwrap();
    for number in 1..=3 {
        link.store(room_id, &format!("g:{number}")).await;
    }
    // A head above what was told shows that the tail has looked since.
    let mut database = app.database().await;
    note_head(&mut database, marker, 1).await;
    link.head(marker, 1).await;
    assert!(
        link.received.last_seqs.iter().all(|head| head.room_id != room_id),
        "{:?}",
        link.received.last_seqs
    );
}

#[tokio::test]
async fn a_transaction_that_commits_late_is_not_skipped() {
    let app = TestApp::start().await;
    let (late, room_id) = (app.rooms.room().await, app.rooms.room().await);
    let cut_off = app.replica_without_redis().await;
    let mut link = cut_off.attach_to(room_id).await;
    link.subscribe(late, OWNER).await.unwrap();
    let mut database = app.database().await;
    let mut early = database.begin().await.unwrap();
    note_head(&mut early, late, 7).await;

    // Later transactions are told while the early one is open, over several looks.
    let mut sender = app.attach().await;
    for number in 1..=3 {
        sender.store(room_id, &format!("g:{number}")).await;
        link.head(room_id, number).await;
    }
    early.commit().await.unwrap();
    link.head(late, 7).await;
}

#[tokio::test]
async fn old_batches_are_forgotten_and_fresh_ones_kept() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    app.attach().await.store(room_id, "g:1").await;
    let mut database = app.database().await;
    sqlx::query(
        "INSERT INTO messaging.batches (created_at, room_ids, head_seqs)
         VALUES (now() - INTERVAL '11 minutes', '{7}', '{7}'), (now() - INTERVAL '9 minutes', '{9}', '{9}')",
    )
    .execute(&mut database)
    .await
    .unwrap();
    // A replica forgets when it starts, and every minute.
    let _other = app.replica().await;
    eventually("the old batch is forgotten", async || {
        let rooms: Vec<Vec<i64>> =
            sqlx::query_scalar("SELECT room_ids FROM messaging.batches ORDER BY id")
                .fetch_all(&mut database)
                .await
                .unwrap();
        rooms == [vec![room_id], vec![9]]
    })
    .await;
}

/// Notes by hand, as a batch does, that a room has come this far.
async fn note_head(connection: &mut sqlx::PgConnection, room_id: i64, last_seq: i64) {
    sqlx::query(
        "INSERT INTO messaging.batches (room_ids, head_seqs) VALUES (ARRAY[$1], ARRAY[$2])",
    )
    .bind(room_id)
    .bind(last_seq)
    .execute(connection)
    .await
    .unwrap();
}
