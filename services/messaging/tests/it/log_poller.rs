//! The log poller: finds in the store what Redis does not deliver.

use std::time::Duration;

use sqlx::Connection;
use tokio::time::Instant;

use crate::app::{OWNER, TestApp, eventually};

#[tokio::test]
async fn without_redis_each_last_seq_arrives_within_two_intervals() {
    let app = TestApp::start().await;
    let offline = app.replica_without_redis().await;
    let room_id = app.rooms.room().await;
    let mut gateway = offline.attach_to(room_id).await;
    let mut sender = app.attach().await;
    let message = sender.store(room_id, "g:1").await;
    let stored = Instant::now();
    gateway.wait_for_last_seq(room_id, 1).await;
    assert!(stored.elapsed() < Duration::from_secs(1), "{:?}", stored.elapsed());
    app.edit(OWNER, message.id, "edited").await.unwrap();
    gateway.wait_for_last_seq(room_id, 2).await;
    app.delete(OWNER, message.id).await.unwrap();
    gateway.wait_for_last_seq(room_id, 3).await;
    assert!(gateway.received.events.is_empty());
}

#[tokio::test]
async fn without_redis_messages_are_stored_and_delivered_on_the_same_replica() {
    let app = TestApp::start().await;
    let offline = app.replica_without_redis().await;
    let room_id = app.rooms.room().await;
    let (mut here, mut there) = (offline.attach_to(room_id).await, app.attach_to(room_id).await);
    here.store(room_id, "g:1").await;
    here.wait_for_event(room_id, 1).await;
    there.wait_for_last_seq(room_id, 1).await;
    assert_eq!(app.changes(room_id, 0, 1).await.events.len(), 1);
}

#[tokio::test]
async fn a_last_seq_is_not_sent_when_its_event_was_delivered() {
    let app = TestApp::start().await;
    let (room_id, marker) = (app.rooms.room().await, app.rooms.room().await);
    let mut gateway = app.attach_to(room_id).await;
    gateway.subscribe(marker, OWNER).await.unwrap();
    for number in 1..=3 {
        gateway.store(room_id, &format!("g:{number}")).await;
    }
    // A `last_seq` without an event shows that the log poller has read since.
    let mut database = app.database().await;
    log_last_seq(&mut database, marker, 1).await;
    gateway.wait_for_last_seq(marker, 1).await;
    assert!(
        gateway.received.last_seqs.iter().all(|room| room.room_id != room_id),
        "{:?}",
        gateway.received.last_seqs
    );
}

#[tokio::test]
async fn a_transaction_that_commits_late_is_not_skipped() {
    let app = TestApp::start().await;
    let (late, room_id) = (app.rooms.room().await, app.rooms.room().await);
    let offline = app.replica_without_redis().await;
    let mut gateway = offline.attach_to(room_id).await;
    gateway.subscribe(late, OWNER).await.unwrap();
    let mut database = app.database().await;
    let mut early = database.begin().await.unwrap();
    log_last_seq(&mut early, late, 7).await;

    // Later transactions are found while the early one is open, in several reads.
    let mut sender = app.attach().await;
    for number in 1..=3 {
        sender.store(room_id, &format!("g:{number}")).await;
        gateway.wait_for_last_seq(room_id, number).await;
    }
    early.commit().await.unwrap();
    gateway.wait_for_last_seq(late, 7).await;
}

#[tokio::test]
async fn what_was_read_is_not_read_again_while_a_transaction_is_open() {
    const BATCHES: i64 = 2_000;
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach_to(room_id).await;
    let (mut database, mut other) = (app.database().await, app.database().await);
    let mut open = other.begin().await.unwrap();
    sqlx::query("SELECT pg_current_xact_id()").execute(&mut *open).await.unwrap();
    for last_seq in [BATCHES, 2 * BATCHES] {
        sqlx::query(
            "INSERT INTO messaging.batches (room_ids, last_seqs)
             SELECT ARRAY[$1], ARRAY[number] FROM generate_series(1, $2) AS number",
        )
        .bind(room_id)
        .bind(last_seq)
        .execute(&mut database)
        .await
        .unwrap();
        gateway.wait_for_last_seq(room_id, last_seq).await;
    }
    // The statistics of the replica's connections are written within a second or two.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = rows_read(&mut database).await;
    assert!(before >= BATCHES, "{before}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let more = rows_read(&mut database).await - before;
    assert!(more < BATCHES, "{more} rows were read while nothing was committed");
}

/// How many rows of `batches` were read through an index.
async fn rows_read(database: &mut sqlx::PgConnection) -> i64 {
    sqlx::query_scalar("SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'batches'")
        .fetch_one(database)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_reader_that_missed_very_much_compares_the_rooms_instead() {
    let app = TestApp::start().await;
    let (logged, room_id) = (app.rooms.room().await, app.rooms.room().await);
    let offline = app.replica_without_redis().await;
    let mut gateway = offline.attach_to(room_id).await;
    gateway.subscribe(logged, OWNER).await.unwrap();
    let mut database = app.database().await;
    let mut transaction = database.begin().await.unwrap();
    // This room's head does not have the number, so only a reader of all rows would deliver it.
    sqlx::query(
        "INSERT INTO messaging.batches (room_ids, last_seqs)
         SELECT ARRAY[$1], ARRAY[7] FROM generate_series(1, 10000)",
    )
    .bind(logged)
    .execute(&mut *transaction)
    .await
    .unwrap();
    sqlx::query("INSERT INTO messaging.room_heads (room_id, last_seq) VALUES ($1, 5)")
        .bind(room_id)
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    gateway.wait_for_last_seq(room_id, 5).await;
    assert!(gateway.received.last_seqs.iter().all(|room| room.room_id != logged));
}

#[tokio::test]
async fn old_batches_are_deleted_and_recent_ones_kept() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    app.attach().await.store(room_id, "g:1").await;
    let mut database = app.database().await;
    sqlx::query(
        "INSERT INTO messaging.batches (created_at, room_ids, last_seqs)
         VALUES
             (now() - INTERVAL '11 minutes', '{7}', '{7}'),
             (now() - INTERVAL '9 minutes', '{9}', '{9}')",
    )
    .execute(&mut database)
    .await
    .unwrap();
    // More than one statement deletes.
    sqlx::query(
        "INSERT INTO messaging.batches (created_at, room_ids, last_seqs)
         SELECT now() - INTERVAL '1 day', '{7}', '{7}' FROM generate_series(1, 5000)",
    )
    .execute(&mut database)
    .await
    .unwrap();
    // A replica trims when it starts, and every minute.
    let _other = app.replica().await;
    eventually("the old batches are deleted", async || {
        let rooms: Vec<Vec<i64>> =
            sqlx::query_scalar("SELECT room_ids FROM messaging.batches ORDER BY id")
                .fetch_all(&mut database)
                .await
                .unwrap();
        rooms == [vec![room_id], vec![9]]
    })
    .await;
}

/// Logs a `last_seq` as a batch does.
async fn log_last_seq(connection: &mut sqlx::PgConnection, room_id: i64, last_seq: i64) {
    sqlx::query(
        "INSERT INTO messaging.batches (room_ids, last_seqs) VALUES (ARRAY[$1], ARRAY[$2])",
    )
    .bind(room_id)
    .bind(last_seq)
    .execute(connection)
    .await
    .unwrap();
}
