//! Adding and removing members, leaving and deleting rooms.

use std::time::Duration;

use futures_util::future::join_all;
use parlance_core::ErrorCode;
use parlance_proto::rooms::SkipReason;

use crate::app::{FRIEND, OTHER_USER, OWNER, SECOND_FRIEND, TestApp, member_ids, skipped};

#[tokio::test]
async fn contacts_are_added_and_other_users_skipped_in_order() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    app.make_contacts(OWNER, SECOND_FRIEND).await;
    let users = [FRIEND, OTHER_USER, SECOND_FRIEND, OTHER_USER, OWNER, SECOND_FRIEND];
    let added = app.add_members(OWNER, room_id, &users).await.unwrap();
    assert_eq!(member_ids(&added.room.unwrap()), [OWNER, FRIEND, SECOND_FRIEND]);
    assert_eq!(
        skipped(&added.skipped),
        [
            (FRIEND, SkipReason::AlreadyAMember),
            (OTHER_USER, SkipReason::NotAContact),
            (OWNER, SkipReason::AlreadyAMember)
        ]
    );
}

#[tokio::test]
async fn a_member_who_returns_joins_anew() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    app.leave_room(FRIEND, room_id).await.unwrap();
    app.clock.advance(Duration::from_secs(1));
    let room = app.add_members(OWNER, room_id, &[FRIEND]).await.unwrap().room.unwrap();
    assert_eq!(member_ids(&room), [OWNER, FRIEND]);
    assert_eq!(room.members[1].joined_at_us, app.clock.now().as_micros());
}

#[tokio::test]
async fn only_changes_move_updated_at() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let created_at = app.clock.now().as_micros();
    let second = Duration::from_secs(1);

    app.clock.advance(second);
    app.add_members(OWNER, room_id, &[FRIEND, OTHER_USER]).await.unwrap();
    app.leave_room(OTHER_USER, room_id).await.unwrap_err();
    app.remove_member(OWNER, room_id, Some(OTHER_USER)).await.unwrap_err();
    assert_eq!(app.get_room(OWNER, room_id).await.unwrap().updated_at_us, created_at);

    app.leave_room(FRIEND, room_id).await.unwrap();
    let room = app.get_room(OWNER, room_id).await.unwrap();
    assert_eq!((room.created_at_us, room.updated_at_us), (created_at, app.clock.now().as_micros()));

    app.clock.advance(second);
    let room = app.add_members(OWNER, room_id, &[FRIEND]).await.unwrap().room.unwrap();
    assert_eq!(room.updated_at_us, app.clock.now().as_micros());

    app.clock.advance(second);
    app.remove_member(OWNER, room_id, Some(FRIEND)).await.unwrap();
    let room = app.get_room(OWNER, room_id).await.unwrap();
    assert_eq!(room.updated_at_us, app.clock.now().as_micros());
}

#[tokio::test]
async fn only_a_change_of_members_increases_the_room_version() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    assert_eq!(app.room_version(room_id).await, 1);
    app.add_members(OWNER, room_id, &[FRIEND, OTHER_USER]).await.unwrap();
    app.leave_room(OTHER_USER, room_id).await.unwrap_err();
    assert_eq!(app.room_version(room_id).await, 1);
    app.leave_room(FRIEND, room_id).await.unwrap();
    assert_eq!(app.room_version(room_id).await, 2);
    app.add_members(OWNER, room_id, &[FRIEND]).await.unwrap();
    assert_eq!(app.room_version(room_id).await, 3);
    app.remove_member(OWNER, room_id, Some(FRIEND)).await.unwrap();
    assert_eq!(app.room_version(room_id).await, 4);
}

#[tokio::test]
async fn a_deleted_room_is_gone_for_every_member() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    app.delete_room(OWNER, room_id).await.unwrap();
    assert_eq!(app.get_room(FRIEND, room_id).await.unwrap_err(), ErrorCode::RoomNotFound);
    assert_eq!(app.delete_room(OWNER, room_id).await.unwrap_err(), ErrorCode::RoomNotFound);
    assert!(app.list_rooms(FRIEND).await.iter().all(|room| room.is_system));
}

#[tokio::test]
async fn of_concurrent_leaves_one_succeeds() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.room_of_two().await;
    let calls = (0..20).map(|i| if i % 2 == 0 { &app } else { &other }.leave_room(FRIEND, room_id));
    let results = join_all(calls).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        results
            .iter()
            .flat_map(|result| result.err())
            .all(|code| code == ErrorCode::MemberNotFound)
    );
    assert_eq!(app.room_version(room_id).await, 2);
}

#[tokio::test]
async fn every_one_of_parallel_adds_and_removals_increases_the_room_version_by_one() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.room_of_two().await;
    let adds = join_all((0..20).map(|_| app.add_members(OWNER, room_id, &[FRIEND])));
    let removals = join_all((0..20).map(|_| other.remove_member(OWNER, room_id, Some(FRIEND))));
    let (adds, removals) = futures_util::join!(adds, removals);

    let added = adds.iter().filter(|added| added.as_ref().unwrap().skipped.is_empty()).count();
    let removed = removals.iter().filter(|result| result.is_ok()).count();
    assert!(removed > 0);
    assert_eq!(app.room_version(room_id).await, 1 + (added + removed) as i64);
    let is_member = member_ids(&app.get_room(OWNER, room_id).await.unwrap()).contains(&FRIEND);
    assert_eq!(added as i64 - removed as i64, if is_member { 0 } else { -1 });
}

#[tokio::test]
async fn deleting_a_room_while_members_come_and_go_leaves_nothing_behind() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let adds = join_all((0..10).map(|_| app.add_members(OWNER, room_id, &[FRIEND])));
    let leaves = join_all((0..10).map(|_| app.leave_room(FRIEND, room_id)));
    let deletions = join_all((0..10).map(|_| app.delete_room(OWNER, room_id)));
    let (adds, leaves, deletions) = futures_util::join!(adds, leaves, deletions);

    assert_eq!(deletions.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(adds.into_iter().flat_map(Result::err).all(|code| code == ErrorCode::RoomNotFound));
    let expected = [ErrorCode::RoomNotFound, ErrorCode::MemberNotFound];
    assert!(leaves.into_iter().flat_map(Result::err).all(|code| expected.contains(&code)));
    let left_over: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM rooms.members WHERE room_id = $1")
            .bind(room_id)
            .fetch_one(&mut app.database().await)
            .await
            .unwrap();
    assert_eq!(left_over, 0);
}
