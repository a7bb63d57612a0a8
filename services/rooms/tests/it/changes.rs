//! Renaming a room and handing it over.

use std::time::Duration;

use parlance_core::ErrorCode;
use parlance_proto::rooms::MembershipStatus;

use crate::app::{FRIEND, OWNER, SECOND_FRIEND, TestApp, member_ids};

#[tokio::test]
async fn a_new_name_is_seen_in_every_answer_of_any_replica() {
    let app = TestApp::start().await;
    let other_replica = app.replica().await;
    let room_id = app.room_of_two().await;
    let before = other_replica.get_room(FRIEND, room_id).await.unwrap();
    app.clock.advance(Duration::from_secs(1));
    let renamed = app.rename_room(OWNER, room_id, " Den \n").await.unwrap();
    assert_eq!(renamed.name.as_deref(), Some(" Den \n"));
    assert_eq!(renamed.updated_at_us, before.updated_at_us + 1_000_000);
    assert_eq!(other_replica.get_room(FRIEND, room_id).await.unwrap(), renamed);
    assert_eq!(other_replica.list_rooms(FRIEND).await.pop().unwrap(), renamed);

    app.clock.advance(Duration::from_secs(1));
    let again = other_replica.rename_room(OWNER, room_id, " Den \n").await.unwrap();
    assert_eq!(again, renamed, "the same name changes nothing");
    for name in ["", "a\0b", &"x".repeat(256)] {
        let refused = app.rename_room(OWNER, room_id, name).await;
        assert_eq!(refused.unwrap_err(), ErrorCode::Validation);
    }
}

#[tokio::test]
async fn a_new_owner_is_seen_in_every_answer_of_any_replica() {
    let app = TestApp::start().await;
    let other_replica = app.replica().await;
    let room_id = app.room_of_two().await;
    let before = other_replica.get_room(FRIEND, room_id).await.unwrap();
    assert_eq!(member_ids(&before), [OWNER, FRIEND]);
    let version = app.room_version(room_id).await;
    let same = app.set_owner(OWNER, room_id, Some(OWNER)).await.unwrap();
    assert_eq!(same, before, "oneself changes nothing");
    assert_eq!(app.room_version(room_id).await, version);

    app.clock.advance(Duration::from_secs(1));
    let handed_over = app.set_owner(OWNER, room_id, Some(FRIEND)).await.unwrap();
    assert_eq!(handed_over.owner_id, Some(FRIEND));
    assert_eq!(member_ids(&handed_over), [FRIEND, OWNER], "the owner comes first");
    assert_eq!(handed_over.updated_at_us, before.updated_at_us + 1_000_000);
    assert_eq!(other_replica.get_room(FRIEND, room_id).await.unwrap(), handed_over);
    assert_eq!(other_replica.list_rooms(FRIEND).await.pop().unwrap(), handed_over);
    let answers =
        other_replica.check_memberships(&[(room_id, OWNER), (room_id, FRIEND)]).await.unwrap();
    let statuses: Vec<MembershipStatus> = answers.iter().map(|answer| answer.0).collect();
    assert_eq!(statuses, [MembershipStatus::Member, MembershipStatus::Owner]);

    app.leave_room(OWNER, room_id).await.unwrap();
    let refused = app.leave_room(FRIEND, room_id).await;
    assert_eq!(refused.unwrap_err(), ErrorCode::OwnerCannotLeave);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hand_overs_at_once_one_is_refused() {
    let app = TestApp::start().await;
    let other_replica = app.replica().await;
    for friend in [FRIEND, SECOND_FRIEND] {
        app.make_contacts(OWNER, friend).await;
    }
    for _ in 0..20 {
        let room = app.create_room(OWNER, &[FRIEND, SECOND_FRIEND]).await.room.unwrap();
        let (first, second) = tokio::join!(
            app.set_owner(OWNER, room.id, Some(FRIEND)),
            other_replica.set_owner(OWNER, room.id, Some(SECOND_FRIEND)),
        );
        let owner = match (&first, &second) {
            (Ok(_), Err(ErrorCode::NotTheOwner)) => FRIEND,
            (Err(ErrorCode::NotTheOwner), Ok(_)) => SECOND_FRIEND,
            other => unreachable!("{other:?}"),
        };
        assert_eq!(app.get_room(OWNER, room.id).await.unwrap().owner_id, Some(owner));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_a_member_whatever_happens_at_once() {
    let app = TestApp::start().await;
    let other_replica = app.replica().await;
    app.make_contacts(OWNER, FRIEND).await;
    for _ in 0..20 {
        let room = app.create_room(OWNER, &[FRIEND]).await.room.unwrap();
        let (handed_over, left, removed) = tokio::join!(
            app.set_owner(OWNER, room.id, Some(FRIEND)),
            other_replica.leave_room(FRIEND, room.id),
            other_replica.remove_member(OWNER, room.id, Some(FRIEND)),
        );
        let has_ended = left.is_ok() || removed.is_ok();
        assert_ne!(handed_over.is_ok(), has_ended, "{handed_over:?} {left:?} {removed:?}");
        let owner = if has_ended { OWNER } else { FRIEND };
        let room = app.get_room(OWNER, room.id).await.unwrap();
        assert_eq!(room.owner_id, Some(owner));
        assert!(member_ids(&room).contains(&owner));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_deleted_at_once_is_renamed_before_or_not_found() {
    let app = TestApp::start().await;
    let other_replica = app.replica().await;
    for _ in 0..20 {
        let room_id = app.create_room(OWNER, &[]).await.room.unwrap().id;
        let (renamed, deleted) = tokio::join!(
            app.rename_room(OWNER, room_id, "x"),
            other_replica.delete_room(OWNER, room_id),
        );
        deleted.unwrap();
        assert!(matches!(renamed, Ok(_) | Err(ErrorCode::RoomNotFound)), "{renamed:?}");
        let refused = app.get_room(OWNER, room_id).await;
        assert_eq!(refused.unwrap_err(), ErrorCode::RoomNotFound);
    }
}
