//! Making and reading rooms.

use std::time::Duration;

use parlance_core::ErrorCode;
use parlance_proto::rooms::{CreateRoomRequest, SkipReason};

use crate::app::{FRIEND, OTHER_USER, OWNER, SECOND_FRIEND, TestApp, answer, member_ids, skipped};

#[tokio::test]
async fn the_owner_is_a_member_from_the_start() {
    let app = TestApp::start().await;
    let room = app.create_room(OWNER, &[]).await.room.unwrap();
    assert_eq!(room.name.as_deref(), Some("a room"));
    assert_eq!(room.owner_id, Some(OWNER));
    assert!(!room.is_system);
    assert_eq!(member_ids(&room), [OWNER]);
    assert_eq!(room.created_at_us, app.clock.now().as_micros());
    assert_eq!(room.updated_at_us, room.created_at_us);
    assert_eq!(room.members[0].joined_at_us, room.created_at_us);
}

#[tokio::test]
async fn only_contacts_are_added_to_a_new_room_and_other_users_skipped_in_order() {
    let app = TestApp::start().await;
    app.make_contacts(FRIEND, OWNER).await;
    app.make_contacts(FRIEND, OTHER_USER).await;
    let created =
        app.create_room(OWNER, &[OTHER_USER, FRIEND, OWNER, OTHER_USER, FRIEND, 99]).await;
    assert_eq!(member_ids(&created.room.unwrap()), [OWNER, FRIEND]);
    assert_eq!(
        skipped(&created.skipped),
        [
            (OTHER_USER, SkipReason::NotAContact),
            (OWNER, SkipReason::AlreadyAMember),
            (99, SkipReason::NotAContact)
        ]
    );
}

#[tokio::test]
async fn a_name_is_kept_as_it_was_sent_and_refused_when_it_breaks_a_rule() {
    let app = TestApp::start().await;
    let create = |name: String| {
        let mut client = app.client();
        async move {
            let request = CreateRoomRequest { acting_user_id: OWNER, name, member_ids: Vec::new() };
            answer(client.create_room(request)).await
        }
    };
    for name in [" ", "  Ä 😀 \n", &"ß".repeat(255)] {
        assert_eq!(
            create(name.to_owned()).await.unwrap().room.unwrap().name.as_deref(),
            Some(name)
        );
    }
    for name in ["", "a\0b", &"ß".repeat(256)] {
        assert_eq!(create(name.to_owned()).await.unwrap_err(), ErrorCode::Validation);
    }
}

#[tokio::test]
async fn the_owner_comes_first_and_then_members_by_time_of_joining() {
    let app = TestApp::start().await;
    let owner = 50;
    for friend in [60, 20, 10] {
        app.make_contacts(owner, friend).await;
    }
    let room_id = app.create_room(owner, &[60, 20]).await.room.unwrap().id;
    app.clock.advance(Duration::from_secs(1));
    app.add_members(owner, room_id, &[10]).await.unwrap();
    assert_eq!(member_ids(&app.get_room(10, room_id).await.unwrap()), [50, 20, 60, 10]);
}

#[tokio::test]
async fn a_room_is_the_same_in_every_answer() {
    let app = TestApp::start().await;
    app.make_contacts(OWNER, FRIEND).await;
    let created = app.create_room(OWNER, &[FRIEND]).await.room.unwrap();
    let got = app.get_room(FRIEND, created.id).await.unwrap();
    let listed = app.list_rooms(FRIEND).await.pop().unwrap();
    let after_no_change =
        app.add_members(OWNER, created.id, &[FRIEND]).await.unwrap().room.unwrap();
    assert_eq!(got, created);
    assert_eq!(listed, created);
    assert_eq!(after_no_change, created);
}

#[tokio::test]
async fn a_list_has_all_rooms_of_the_user_and_no_others() {
    let app = TestApp::start().await;
    let system_room = app.make_contacts(OWNER, FRIEND).await;
    app.make_contacts(OWNER, SECOND_FRIEND).await;
    let shared = app.create_room(OWNER, &[FRIEND, SECOND_FRIEND]).await.room.unwrap().id;
    app.create_room(OWNER, &[SECOND_FRIEND]).await;
    let own = app.create_room(FRIEND, &[]).await.room.unwrap().id;

    let rooms = app.list_rooms(FRIEND).await;
    assert_eq!(rooms.iter().map(|room| room.id).collect::<Vec<_>>(), [system_room, shared, own]);
    assert_eq!(member_ids(&rooms[1]), [OWNER, FRIEND, SECOND_FRIEND]);
    assert!(app.list_rooms(99).await.is_empty());
}

#[tokio::test]
async fn a_list_shows_every_change_answered_by_any_replica() {
    let (app, others) = (TestApp::start().await, [FRIEND, SECOND_FRIEND]);
    let other_replica = app.replica().await;
    for other in others {
        app.make_contacts(OWNER, other).await;
    }
    let room_id = app.create_room(OWNER, &[FRIEND]).await.room.unwrap().id;
    let listed = async || {
        let rooms = app.list_rooms(FRIEND).await;
        rooms.iter().find(|room| room.id == room_id).map(member_ids)
    };

    assert_eq!(listed().await.unwrap(), [OWNER, FRIEND]);
    other_replica.add_members(OWNER, room_id, &[SECOND_FRIEND]).await.unwrap();
    assert_eq!(listed().await.unwrap(), [OWNER, FRIEND, SECOND_FRIEND]);
    other_replica.leave_room(SECOND_FRIEND, room_id).await.unwrap();
    assert_eq!(listed().await.unwrap(), [OWNER, FRIEND]);
    other_replica.remove_member(OWNER, room_id, Some(FRIEND)).await.unwrap();
    assert_eq!(listed().await, None);
    other_replica.add_members(OWNER, room_id, &[FRIEND]).await.unwrap();
    assert_eq!(listed().await.unwrap(), [OWNER, FRIEND]);
    other_replica.delete_room(OWNER, room_id).await.unwrap();
    assert_eq!(listed().await, None);
}

#[tokio::test]
async fn a_room_is_shown_to_members_only() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    assert_eq!(app.get_room(FRIEND, room_id).await.unwrap().id, room_id);
    assert_eq!(app.get_room(OTHER_USER, room_id).await.unwrap_err(), ErrorCode::NotAMember);
    for no_room in [0, -1, i64::MAX] {
        assert_eq!(app.get_room(OWNER, no_room).await.unwrap_err(), ErrorCode::RoomNotFound);
    }
}
