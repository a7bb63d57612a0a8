//! Watching the log of ended memberships.

use std::time::Duration;

use parlance_proto::rooms::{EndReason, MembershipEnd, WatchMembershipsResponse};
use sqlx::Connection;
use tokio::time::{Instant, sleep, timeout};
use tonic::Streaming;

use crate::app::{FRIEND, OWNER, TestApp};

type Stream = Streaming<WatchMembershipsResponse>;

/// Returns the next batch.
async fn next(stream: &mut Stream) -> WatchMembershipsResponse {
    timeout(Duration::from_secs(10), stream.message()).await.unwrap().unwrap().unwrap()
}

/// Returns the next batch that is not empty.
async fn next_ends(stream: &mut Stream) -> WatchMembershipsResponse {
    loop {
        let batch = next(stream).await;
        if !batch.ends.is_empty() {
            return batch;
        }
    }
}

fn end(room_id: i64, user_id: Option<i64>, reason: EndReason, room_version: i64) -> MembershipEnd {
    MembershipEnd { room_id, user_id, reason: reason.into(), room_version }
}

#[tokio::test]
async fn every_kind_of_membership_end_reaches_a_watcher_of_another_replica() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.room_of_two().await;
    let mut stream = other.watch(0).await;
    let first = next(&mut stream).await;
    assert!(first.ends.is_empty() && first.cursor > 0 && !first.reset);

    app.leave_room(FRIEND, room_id).await.unwrap();
    let answered_at = Instant::now();
    assert_eq!(next_ends(&mut stream).await.ends, [end(room_id, Some(FRIEND), EndReason::Left, 2)]);
    assert!(answered_at.elapsed() < Duration::from_millis(900), "{:?}", answered_at.elapsed());

    app.add_members(OWNER, room_id, &[FRIEND]).await.unwrap();
    app.remove_member(OWNER, room_id, Some(FRIEND)).await.unwrap();
    assert_eq!(
        next_ends(&mut stream).await.ends,
        [end(room_id, Some(FRIEND), EndReason::Removed, 4)]
    );

    app.delete_room(OWNER, room_id).await.unwrap();
    assert_eq!(next_ends(&mut stream).await.ends, [end(room_id, None, EndReason::RoomDeleted, 5)]);
}

#[tokio::test]
async fn refused_changes_are_not_in_the_log() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let mut stream = app.watch(0).await;
    next(&mut stream).await;
    app.leave_room(OWNER, room_id).await.unwrap_err();
    app.delete_room(FRIEND, room_id).await.unwrap_err();
    app.leave_room(FRIEND, room_id).await.unwrap();
    app.leave_room(FRIEND, room_id).await.unwrap_err();
    app.delete_room(OWNER, room_id).await.unwrap();
    let mut ends = Vec::new();
    while ends.len() < 2 {
        ends.append(&mut next_ends(&mut stream).await.ends);
    }
    assert_eq!(
        ends,
        [
            end(room_id, Some(FRIEND), EndReason::Left, 2),
            end(room_id, None, EndReason::RoomDeleted, 3)
        ]
    );
}

#[tokio::test]
async fn a_watcher_that_continues_from_a_cursor_misses_nothing() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.room_of_two().await;
    let cursor = next(&mut app.watch(0).await).await.cursor;
    app.leave_room(FRIEND, room_id).await.unwrap();

    let mut stream = other.watch(cursor).await;
    let batch = next_ends(&mut stream).await;
    assert_eq!(batch.ends, [end(room_id, Some(FRIEND), EndReason::Left, 2)]);
    // The cursor stays as long as an older transaction is open, even one of another test.
    assert!(!batch.reset && batch.cursor >= cursor);

    app.delete_room(OWNER, room_id).await.unwrap();
    let batch = next_ends(&mut app.watch(batch.cursor).await).await;
    assert_eq!(batch.ends.last(), Some(&end(room_id, None, EndReason::RoomDeleted, 3)));
}

#[tokio::test]
async fn a_change_committed_late_by_an_early_transaction_is_not_skipped() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let mut stream = app.watch(0).await;
    next(&mut stream).await;

    let mut connection = app.database().await;
    let mut early = connection.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO rooms.membership_log (room_id, user_id, reason, room_version)
         VALUES (777, 7, 'left', 7)",
    )
    .execute(&mut *early)
    .await
    .unwrap();
    app.leave_room(FRIEND, room_id).await.unwrap();
    let batch = next_ends(&mut stream).await;
    assert_eq!(batch.ends, [end(room_id, Some(FRIEND), EndReason::Left, 2)]);
    early.commit().await.unwrap();

    // The open stream gets only the late entry. A new stream may get the other entry again.
    let late = end(777, Some(7), EndReason::Left, 7);
    assert_eq!(next_ends(&mut stream).await.ends, [late]);
    assert!(next_ends(&mut app.watch(batch.cursor).await).await.ends.contains(&late));
}

#[tokio::test]
async fn after_a_long_absence_the_entries_come_in_batches_and_each_once() {
    let app = TestApp::start().await;
    let cursor = next(&mut app.watch(0).await).await.cursor;
    sqlx::query(
        "INSERT INTO rooms.membership_log (room_id, user_id, reason, room_version)
         SELECT 777, number, 'left', number FROM GENERATE_SERIES(1, 2500) AS number",
    )
    .execute(&mut app.database().await)
    .await
    .unwrap();

    let mut stream = app.watch(cursor).await;
    let mut versions = Vec::new();
    let mut last_cursor = cursor;
    while versions.len() < 2500 {
        // The cursor moves only after the last batch: an interrupted watcher begins again.
        assert_eq!(last_cursor, cursor);
        let batch = next(&mut stream).await;
        versions.extend(batch.ends.iter().map(|end| end.room_version));
        last_cursor = batch.cursor;
    }
    // The cursor stays as long as an older transaction is open, even one of another test.
    while last_cursor <= cursor {
        let batch = next(&mut stream).await;
        assert_eq!(batch.ends, []);
        last_cursor = batch.cursor;
    }
    assert!(versions.iter().copied().eq(1..=2500));
}

#[tokio::test]
async fn a_cursor_older_than_the_log_is_answered_with_a_reset() {
    let retention = Duration::from_millis(200);
    let app = TestApp::start_with_retention(retention).await;
    let room_id = app.room_of_two().await;
    let cursor = next(&mut app.watch(0).await).await.cursor;
    app.leave_room(FRIEND, room_id).await.unwrap();
    until_the_log_is(&app, 0).await;

    let mut stream = app.watch(cursor).await;
    let batch = next(&mut stream).await;
    assert!(batch.reset && batch.ends.is_empty() && batch.cursor > cursor);
    app.delete_room(OWNER, room_id).await.unwrap();
    let batch = next_ends(&mut stream).await;
    assert_eq!(batch.ends, [end(room_id, None, EndReason::RoomDeleted, 3)]);
    assert!(!batch.reset);
}

#[tokio::test]
async fn a_cursor_of_another_database_is_answered_with_a_reset() {
    let app = TestApp::start().await;
    assert!(next(&mut app.watch(1 << 60).await).await.reset);
    assert!(next(&mut app.watch(u64::MAX).await).await.reset);
}

#[tokio::test]
async fn trimming_keeps_recent_entries() {
    let retention = Duration::from_secs(10);
    let app = TestApp::start_with_retention(retention).await;
    let cursor = next(&mut app.watch(0).await).await.cursor;
    let old = app.room_of_two().await;
    app.delete_room(OWNER, old).await.unwrap();
    let cursor_after_old = next(&mut app.watch(0).await).await.cursor;
    sqlx::query("UPDATE rooms.membership_log SET created_at = created_at - INTERVAL '1 hour'")
        .execute(&mut app.database().await)
        .await
        .unwrap();
    let recent = app.create_room(OWNER, &[]).await.room.unwrap().id;
    app.delete_room(OWNER, recent).await.unwrap();
    until_the_log_is(&app, 1).await;

    assert!(next(&mut app.watch(cursor).await).await.reset);
    // 1 begins at the oldest entry, so it is never too old.
    for cursor in [1, cursor_after_old] {
        let batch = next(&mut app.watch(cursor).await).await;
        assert!(!batch.reset);
        assert_eq!(batch.ends, [end(recent, None, EndReason::RoomDeleted, 2)]);
    }
}

#[tokio::test]
async fn the_clock_of_a_replica_trims_nothing() {
    let app = TestApp::start_with_retention(Duration::from_secs(10)).await;
    app.clock.advance(Duration::from_secs(3_600));
    let (recent, old) = (app.room_of_two().await, app.room_of_two().await);
    app.delete_room(OWNER, recent).await.unwrap();
    app.delete_room(OWNER, old).await.unwrap();
    sqlx::query(
        "UPDATE rooms.membership_log SET created_at = created_at - INTERVAL '1 hour'
         WHERE room_id = $1",
    )
    .bind(old)
    .execute(&mut app.database().await)
    .await
    .unwrap();
    app.clock.advance(Duration::from_secs(3_600));
    until_the_log_is(&app, 1).await;
    let batch = next_ends(&mut app.watch(1).await).await;
    assert_eq!(batch.ends, [end(recent, None, EndReason::RoomDeleted, 2)]);
}

#[tokio::test]
async fn an_idle_log_sends_heartbeats_with_a_moving_cursor() {
    let app = TestApp::start().await;
    let mut stream = app.watch(0).await;
    let first = next(&mut stream).await;
    let started = Instant::now();
    app.create_room(OWNER, &[]).await;
    let second = next(&mut stream).await;
    assert!(second.ends.is_empty() && second.cursor > first.cursor);
    assert!(started.elapsed() < Duration::from_secs(6));
}

#[tokio::test]
async fn streams_end_when_the_process_drains() {
    let app = TestApp::start().await;
    let mut stream = app.watch(0).await;
    next(&mut stream).await;
    app.service.lifecycle.draining().cancel();
    let ended = timeout(Duration::from_secs(2), stream.message()).await.unwrap().unwrap();
    assert_eq!(ended, None);
}

async fn until_the_log_is(app: &TestApp, expected: i64) {
    let mut database = app.database().await;
    let mut entries = i64::MAX;
    let deadline = Instant::now() + Duration::from_secs(10);
    while entries != expected && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM rooms.membership_log");
        entries = count.fetch_one(&mut database).await.unwrap();
    }
    assert_eq!(entries, expected);
}
