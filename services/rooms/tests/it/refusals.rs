//! Refused requests, and which error is returned if several apply.

use parlance_core::ErrorCode;

use crate::app::{FRIEND, OTHER_USER, OWNER, TestApp};

const NO_ROOM: i64 = 999;

#[tokio::test]
async fn only_the_owner_of_a_user_room_adds_members() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let system_room = app.make_contacts(OWNER, FRIEND).await;
    for (user, room_id, expected) in [
        (OWNER, NO_ROOM, ErrorCode::RoomNotFound),
        (OWNER, system_room, ErrorCode::SystemRoom),
        (OTHER_USER, system_room, ErrorCode::SystemRoom),
        (FRIEND, room_id, ErrorCode::NotTheOwner),
        (OTHER_USER, room_id, ErrorCode::NotTheOwner),
    ] {
        assert_eq!(app.add_members(user, room_id, &[FRIEND]).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn every_member_but_the_owner_may_leave_a_user_room() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let system_room = app.make_contacts(OWNER, FRIEND).await;
    for (user, room_id, expected) in [
        (OWNER, NO_ROOM, ErrorCode::RoomNotFound),
        (OWNER, system_room, ErrorCode::SystemRoom),
        (OTHER_USER, system_room, ErrorCode::SystemRoom),
        (OTHER_USER, room_id, ErrorCode::MemberNotFound),
        (OWNER, room_id, ErrorCode::OwnerCannotLeave),
    ] {
        assert_eq!(app.leave_room(user, room_id).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn only_the_owner_of_a_user_room_removes_other_members() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let system_room = app.make_contacts(OWNER, FRIEND).await;
    for (user, room_id, member, expected) in [
        (OWNER, NO_ROOM, None, ErrorCode::RoomNotFound),
        (OTHER_USER, system_room, None, ErrorCode::SystemRoom),
        (OWNER, system_room, Some(FRIEND), ErrorCode::SystemRoom),
        (FRIEND, room_id, None, ErrorCode::NotTheOwner),
        (FRIEND, room_id, Some(FRIEND), ErrorCode::NotTheOwner),
        (OWNER, room_id, None, ErrorCode::UserNotFound),
        (OWNER, room_id, Some(OTHER_USER), ErrorCode::MemberNotFound),
        (OWNER, room_id, Some(OWNER), ErrorCode::OwnerCannotLeave),
    ] {
        assert_eq!(app.remove_member(user, room_id, member).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn only_the_owner_deletes_a_user_room() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let system_room = app.make_contacts(OWNER, FRIEND).await;
    for (user, room_id, expected) in [
        (OWNER, NO_ROOM, ErrorCode::RoomNotFound),
        (OTHER_USER, system_room, ErrorCode::SystemRoom),
        (OWNER, system_room, ErrorCode::SystemRoom),
        (FRIEND, room_id, ErrorCode::NotTheOwner),
        (OTHER_USER, room_id, ErrorCode::NotTheOwner),
    ] {
        assert_eq!(app.delete_room(user, room_id).await.unwrap_err(), expected);
    }
    assert_eq!(app.get_room(OWNER, room_id).await.unwrap().members.len(), 2);
}

#[tokio::test]
async fn only_the_owner_of_a_user_room_renames_it() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let system_room = app.make_contacts(OWNER, FRIEND).await;
    for (user, room_id, expected) in [
        (OWNER, NO_ROOM, ErrorCode::RoomNotFound),
        (OWNER, system_room, ErrorCode::SystemRoom),
        (OTHER_USER, system_room, ErrorCode::SystemRoom),
        (FRIEND, room_id, ErrorCode::NotTheOwner),
        (OTHER_USER, room_id, ErrorCode::NotTheOwner),
    ] {
        assert_eq!(app.rename_room(user, room_id, "x").await.unwrap_err(), expected);
    }
    assert_eq!(app.get_room(OWNER, room_id).await.unwrap().name.as_deref(), Some("a room"));
}

#[tokio::test]
async fn only_the_owner_of_a_user_room_hands_it_over_and_only_to_a_member() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let system_room = app.make_contacts(OWNER, FRIEND).await;
    for (user, room_id, owner, expected) in [
        (OWNER, NO_ROOM, None, ErrorCode::RoomNotFound),
        (OTHER_USER, system_room, None, ErrorCode::SystemRoom),
        (OWNER, system_room, Some(FRIEND), ErrorCode::SystemRoom),
        (FRIEND, room_id, None, ErrorCode::NotTheOwner),
        (OTHER_USER, room_id, Some(OTHER_USER), ErrorCode::NotTheOwner),
        (OWNER, room_id, None, ErrorCode::UserNotFound),
        (OWNER, room_id, Some(OTHER_USER), ErrorCode::MemberNotFound),
    ] {
        assert_eq!(app.set_owner(user, room_id, owner).await.unwrap_err(), expected);
    }
    assert_eq!(app.get_room(OWNER, room_id).await.unwrap().owner_id, Some(OWNER));
}
