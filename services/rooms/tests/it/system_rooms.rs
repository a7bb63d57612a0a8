//! The rooms of two contacts.

use futures_util::future::join_all;
use parlance_core::ErrorCode;
use parlance_proto::rooms::EnsureSystemRoomRequest;

use crate::app::{FRIEND, OWNER, TestApp, answer, member_ids};

#[tokio::test]
async fn a_system_room_has_two_members_and_neither_name_nor_owner() {
    let app = TestApp::start().await;
    let room_id = app.make_contacts(FRIEND, OWNER).await;
    let room = app.get_room(OWNER, room_id).await.unwrap();
    assert!(room.is_system);
    assert_eq!((room.name.as_deref(), room.owner_id), (None, None));
    assert_eq!(member_ids(&room), [OWNER, FRIEND]);
}

#[tokio::test]
async fn two_users_have_one_system_room_however_often_it_is_requested() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let calls = (0..20).map(|i| match i % 4 {
        0 => app.make_contacts(OWNER, FRIEND),
        1 => app.make_contacts(FRIEND, OWNER),
        2 => other.make_contacts(OWNER, FRIEND),
        _ => other.make_contacts(FRIEND, OWNER),
    });
    let room_ids = join_all(calls).await;
    assert!(room_ids.iter().all(|&room_id| room_id == room_ids[0]));

    let rooms = app.list_rooms(OWNER).await;
    assert_eq!(rooms.len(), 1);
    assert_eq!(member_ids(&rooms[0]), [OWNER, FRIEND]);
}

#[tokio::test]
async fn a_system_room_needs_two_different_users() {
    let app = TestApp::start().await;
    let request = EnsureSystemRoomRequest { first_user_id: OWNER, second_user_id: OWNER };
    let refusal = answer(app.client().ensure_system_room(request)).await.unwrap_err();
    assert_eq!(refusal, ErrorCode::BadRequest);
}
