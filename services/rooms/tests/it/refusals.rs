//! What is refused, and which refusal wins when there are several.

use parlance_core::ErrorCode;

use crate::app::{FRIEND, OWNER, STRANGER, TestApp};

const NO_ROOM: i64 = 999;

#[tokio::test]
async fn members_are_added_by_the_owner_of_a_user_room() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let system_room = app.make_contacts(OWNER, FRIEND).await;
    for (user, room_id, expected) in [
        (OWNER, NO_ROOM, ErrorCode::RoomNotFound),
        (OWNER, system_room, ErrorCode::SystemRoom),
        (STRANGER, system_room, ErrorCode::SystemRoom),
        (FRIEND, room_id, ErrorCode::NotTheOwner),
        (STRANGER, room_id, ErrorCode::NotTheOwner),
    ] {
        assert_eq!(app.add_members(user, room_id, &[FRIEND]).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn user_rooms_are_left_by_members_who_do_not_own_them() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let system_room = app.make_contacts(OWNER, FRIEND).await;
    for (user, room_id, expected) in [
        (OWNER, NO_ROOM, ErrorCode::RoomNotFound),
        (OWNER, system_room, ErrorCode::SystemRoom),
        (STRANGER, system_room, ErrorCode::SystemRoom),
        (STRANGER, room_id, ErrorCode::MemberNotFound),
        (OWNER, room_id, ErrorCode::OwnerCannotLeave),
    ] {
        assert_eq!(app.leave_room(user, room_id).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn other_members_are_removed_by_the_owner_of_a_user_room() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let system_room = app.make_contacts(OWNER, FRIEND).await;
    for (user, room_id, member, expected) in [
        (OWNER, NO_ROOM, None, ErrorCode::RoomNotFound),
        (STRANGER, system_room, None, ErrorCode::SystemRoom),
        (OWNER, system_room, Some(FRIEND), ErrorCode::SystemRoom),
        (FRIEND, room_id, None, ErrorCode::NotTheOwner),
        (FRIEND, room_id, Some(FRIEND), ErrorCode::NotTheOwner),
        (OWNER, room_id, None, ErrorCode::UserNotFound),
        (OWNER, room_id, Some(STRANGER), ErrorCode::MemberNotFound),
        (OWNER, room_id, Some(OWNER), ErrorCode::OwnerCannotLeave),
    ] {
        assert_eq!(app.remove_member(user, room_id, member).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn user_rooms_are_deleted_by_their_owner() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let system_room = app.make_contacts(OWNER, FRIEND).await;
    for (user, room_id, expected) in [
        (OWNER, NO_ROOM, ErrorCode::RoomNotFound),
        (STRANGER, system_room, ErrorCode::SystemRoom),
        (OWNER, system_room, ErrorCode::SystemRoom),
        (FRIEND, room_id, ErrorCode::NotTheOwner),
        (STRANGER, room_id, ErrorCode::NotTheOwner),
    ] {
        assert_eq!(app.delete_room(user, room_id).await.unwrap_err(), expected);
    }
    assert_eq!(app.get_room(OWNER, room_id).await.unwrap().members.len(), 2);
}
