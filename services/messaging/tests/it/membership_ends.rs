//! Ended memberships reach the gateways that have subscribers in the room.

use std::time::Duration;

use parlance_core::ErrorCode;
use parlance_proto::messaging::{EndReason, MembershipEnd};
use sqlx::Connection;

use crate::app::{FRIEND, OWNER, Rooms, TestApp};
use crate::gateway::Gateway;
use crate::proxy::Proxy;

/// The bound for the delivery of an end: messages committed later must not reach the removed user.
const DELIVERY_ENDS: Duration = Duration::from_secs(1);

fn end(room_id: i64, user_id: Option<i64>, reason: EndReason, room_version: i64) -> MembershipEnd {
    MembershipEnd { room_id, user_id, reason: reason.into(), room_version }
}

async fn wait_for(gateway: &mut Gateway, end: MembershipEnd) {
    gateway.wait("the end of a membership", |received| received.ends.contains(&end)).await;
}

#[tokio::test]
async fn every_end_comes_with_its_reason_and_a_higher_version_than_the_subscription() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let (left, removed, deleted) = (
        app.rooms.room_of_two().await,
        app.rooms.room_of_two().await,
        app.rooms.room_of_two().await,
    );
    let (mut here, mut there) = (app.attach().await, other.attach().await);
    let mut version = 0;
    for room_id in [left, removed, deleted] {
        for gateway in [&mut here, &mut there] {
            version = gateway.subscribe(room_id, FRIEND).await.unwrap().room_version;
        }
    }
    app.rooms.leave(FRIEND, left).await;
    app.rooms.remove_friend(removed).await;
    app.rooms.delete(deleted).await;
    for gateway in [&mut here, &mut there] {
        wait_for(gateway, end(left, Some(FRIEND), EndReason::Left, version + 1)).await;
        wait_for(gateway, end(removed, Some(FRIEND), EndReason::Removed, version + 1)).await;
        wait_for(gateway, end(deleted, None, EndReason::RoomDeleted, version + 1)).await;
    }
}

#[tokio::test]
async fn a_gateway_without_a_subscriber_in_the_room_gets_no_end() {
    let app = TestApp::start().await;
    let (room_id, other_room) = (app.rooms.room_of_two().await, app.rooms.room_of_two().await);
    let (mut gateway, mut bystander) =
        (app.attach_to(room_id).await, app.attach_to(other_room).await);
    let version = bystander.subscribe(other_room, OWNER).await.unwrap().room_version;
    app.rooms.remove_friend(room_id).await;
    wait_for(&mut gateway, end(room_id, Some(FRIEND), EndReason::Removed, version + 1)).await;
    // Ends arrive in their order: an end of the other room would have come before this one.
    app.rooms.remove_friend(other_room).await;
    wait_for(&mut bystander, end(other_room, Some(FRIEND), EndReason::Removed, version + 1)).await;
    assert_eq!(bystander.received.ends.len(), 1);
}

#[tokio::test]
async fn memberships_that_end_while_rooms_is_unreachable_are_delivered_afterwards() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room_of_two().await;
    let mut gateway = app.attach().await;
    let version = gateway.subscribe(room_id, FRIEND).await.unwrap().room_version;
    let hidden = app.rooms.another_replica().await;
    app.rooms.stop().await;
    hidden.remove_friend(room_id).await;
    let _rooms = app.rooms.restart().await;
    wait_for(&mut gateway, end(room_id, Some(FRIEND), EndReason::Removed, version + 1)).await;
}

#[tokio::test]
async fn an_end_arrives_in_time_while_either_replica_of_rooms_is_unreachable() {
    let rooms = Rooms::start().await;
    let other = rooms.another_replica().await;
    let proxies = [Proxy::to(rooms.address()).await, Proxy::to(other.address()).await];
    let app = TestApp::start_behind(&proxies.each_ref().map(Proxy::address), rooms.clone()).await;
    let mut gateway = app.attach().await;
    for (stalled, answering) in [(0, &other), (1, &rooms)] {
        let room_id = answering.room_of_two().await;
        let version = gateway.subscribe(room_id, FRIEND).await.unwrap().room_version;
        let stall = proxies[stalled].stall();
        answering.remove_friend(room_id).await;
        let end = end(room_id, Some(FRIEND), EndReason::Removed, version + 1);
        tokio::time::timeout(DELIVERY_ENDS, wait_for(&mut gateway, end)).await.unwrap();
        drop(stall);
    }
}

/// Waits until exactly these rooms have messages.
async fn wait_until_messages_are_in(app: &TestApp, room_ids: &[i64]) {
    let mut database = app.database().await;
    crate::app::eventually("the messages of deleted rooms are purged", async || {
        let left: Vec<i64> =
            sqlx::query_scalar("SELECT DISTINCT room_id FROM messaging.messages ORDER BY room_id")
                .fetch_all(&mut database)
                .await
                .unwrap();
        left == room_ids
    })
    .await;
}

/// Makes rooms forget that memberships have ended, as it does after its retention time.
async fn trim_the_log(app: &TestApp) {
    sqlx::query("DELETE FROM rooms.membership_log")
        .execute(&mut app.rooms.database().await)
        .await
        .unwrap();
}

#[tokio::test]
async fn rooms_that_were_deleted_while_no_replica_ran_are_purged() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    app.attach().await.store(room_id, "g:1").await;
    app.kill();
    app.rooms.delete(room_id).await;
    wait_until_messages_are_in(&app.replica().await, &[]).await;
}

#[tokio::test]
async fn rooms_that_were_deleted_before_the_log_begins_are_purged_and_others_kept() {
    let app = TestApp::start().await;
    let (deleted, kept, left_over) =
        (app.rooms.room().await, app.rooms.room().await, app.rooms.room().await);
    let newest = app.rooms.room().await;
    let mut gateway = app.attach().await;
    for room_id in [deleted, kept, left_over, newest] {
        gateway.store(room_id, "g:1").await;
    }
    app.kill();
    app.rooms.delete(deleted).await;
    app.rooms.delete(newest).await;
    trim_the_log(&app).await;
    // A replica that ended in the middle of a purge has left this one.
    sqlx::query("UPDATE messaging.room_heads SET deleted = TRUE WHERE room_id = $1")
        .bind(left_over)
        .execute(&mut app.database().await)
        .await
        .unwrap();

    let again = app.replica().await;
    wait_until_messages_are_in(&again, &[kept]).await;
    let sent = again.attach().await.send(deleted, OWNER, "g:2", "x").await;
    assert_eq!(sent.err(), Some(ErrorCode::RoomNotFound));
}

#[tokio::test]
async fn nothing_is_purged_while_rooms_knows_none_of_the_rooms() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    app.attach().await.store(room_id, "g:1").await;
    app.kill();
    // As if rooms was connected to an empty database.
    app.rooms.delete(room_id).await;
    trim_the_log(&app).await;
    let again = app.replica().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    wait_until_messages_are_in(&again, &[room_id]).await;
}

#[tokio::test]
async fn ends_arrive_while_very_many_deleted_rooms_wait_to_be_purged() {
    let app = TestApp::start().await;
    let (deleted, room_id) = (app.rooms.room().await, app.rooms.room_of_two().await);
    let mut gateway = app.attach().await;
    gateway.store(deleted, "g:1").await;
    let version = gateway.subscribe(room_id, FRIEND).await.unwrap().room_version;
    // While the room is locked, its purge waits.
    let mut database = app.database().await;
    let mut lock = database.begin().await.unwrap();
    sqlx::query("SELECT FROM messaging.room_heads WHERE room_id = $1 FOR UPDATE")
        .bind(deleted)
        .execute(&mut *lock)
        .await
        .unwrap();
    app.rooms.delete(deleted).await;
    // More than the queue of the purge holds.
    sqlx::query(
        "INSERT INTO rooms.membership_log (room_id, reason, room_version)
         SELECT -number, 'room_deleted', 2 FROM generate_series(1, 30000) AS number",
    )
    .execute(&mut app.rooms.database().await)
    .await
    .unwrap();
    app.rooms.remove_friend(room_id).await;
    let end = end(room_id, Some(FRIEND), EndReason::Removed, version + 1);
    wait_for(&mut gateway, end).await;

    gateway.store(room_id, "g:1").await;
    lock.rollback().await.unwrap();
    wait_until_messages_are_in(&app, &[room_id]).await;
}
