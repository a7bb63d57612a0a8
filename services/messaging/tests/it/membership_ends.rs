//! Memberships that end reach the gateways that have subscribers in the room.

use std::time::Duration;

use parlance_proto::messaging::{EndReason, MembershipEnd};

use crate::app::{FRIEND, OWNER, Rooms, TestApp};
use crate::link::Link;
use crate::way::Way;

/// Nothing committed later than this after a removal may reach the one removed.
const DELIVERY_ENDS: Duration = Duration::from_secs(1);

fn end(room_id: i64, user_id: Option<i64>, reason: EndReason, room_version: i64) -> MembershipEnd {
    MembershipEnd { room_id, user_id, reason: reason.into(), room_version }
}

async fn wait_for(link: &mut Link, end: MembershipEnd) {
    link.wait("the end of a membership", |received| received.ends.contains(&end)).await;
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
        for link in [&mut here, &mut there] {
            version = link.subscribe(room_id, FRIEND).await.unwrap().room_version;
        }
    }
    app.rooms.leave(FRIEND, left).await;
    app.rooms.remove_friend(removed).await;
    app.rooms.delete(deleted).await;
    for link in [&mut here, &mut there] {
        wait_for(link, end(left, Some(FRIEND), EndReason::Left, version + 1)).await;
        wait_for(link, end(removed, Some(FRIEND), EndReason::Removed, version + 1)).await;
        wait_for(link, end(deleted, None, EndReason::RoomDeleted, version + 1)).await;
    }
}

#[tokio::test]
async fn who_has_no_subscriber_in_the_room_is_not_told() {
    let app = TestApp::start().await;
    let (room_id, elsewhere) = (app.rooms.room_of_two().await, app.rooms.room_of_two().await);
    let (mut link, mut bystander) = (app.attach_to(room_id).await, app.attach_to(elsewhere).await);
    let version = bystander.subscribe(elsewhere, OWNER).await.unwrap().room_version;
    app.rooms.remove_friend(room_id).await;
    wait_for(&mut link, end(room_id, Some(FRIEND), EndReason::Removed, version + 1)).await;
    // Ends come in their order: behind this one nothing of the other room can follow.
    app.rooms.remove_friend(elsewhere).await;
    wait_for(&mut bystander, end(elsewhere, Some(FRIEND), EndReason::Removed, version + 1)).await;
    assert_eq!(bystander.received.ends.len(), 1);
}

#[tokio::test]
async fn what_ends_while_rooms_cannot_be_reached_comes_afterwards() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room_of_two().await;
    let mut link = app.attach().await;
    let version = link.subscribe(room_id, FRIEND).await.unwrap().room_version;
    let hidden = app.rooms.another_replica().await;
    app.rooms.go_away().await;
    hidden.remove_friend(room_id).await;
    let _rooms = app.rooms.come_back().await;
    wait_for(&mut link, end(room_id, Some(FRIEND), EndReason::Removed, version + 1)).await;
}

#[tokio::test]
async fn an_end_comes_in_time_while_the_way_to_either_replica_of_rooms_is_stalled() {
    let rooms = Rooms::start().await;
    let other = rooms.another_replica().await;
    let ways = [Way::to(rooms.address()).await, Way::to(other.address()).await];
    let app = TestApp::start_behind(&ways.each_ref().map(Way::address), rooms.clone()).await;
    let mut link = app.attach().await;
    for (stalled, answering) in [(0, &other), (1, &rooms)] {
        let room_id = answering.room_of_two().await;
        let version = link.subscribe(room_id, FRIEND).await.unwrap().room_version;
        let stall = ways[stalled].stall();
        answering.remove_friend(room_id).await;
        let end = end(room_id, Some(FRIEND), EndReason::Removed, version + 1);
        tokio::time::timeout(DELIVERY_ENDS, wait_for(&mut link, end)).await.unwrap();
        drop(stall);
    }
}

#[tokio::test]
async fn rooms_that_were_deleted_while_no_replica_ran_are_buried() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    app.attach().await.store(room_id, "g:1").await;
    app.kill();
    app.rooms.delete(room_id).await;

    let again = app.replica().await;
    let mut database = again.database().await;
    crate::app::eventually("the messages are purged", async || {
        let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM messaging.messages")
            .fetch_one(&mut database)
            .await
            .unwrap();
        left == 0
    })
    .await;
}
