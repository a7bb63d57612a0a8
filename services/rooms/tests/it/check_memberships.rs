//! Checking many memberships in one call.

use parlance_core::ErrorCode;
use parlance_proto::rooms::MembershipStatus;

use crate::app::{FRIEND, OTHER_USER, OWNER, TestApp};

#[tokio::test]
async fn questions_are_answered_in_their_order() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let system_room = app.make_contacts(OWNER, FRIEND).await;
    let questions = [
        (999, OWNER),
        (room_id, FRIEND),
        (room_id, OWNER),
        (room_id, OTHER_USER),
        (system_room, OWNER),
        (room_id, FRIEND),
    ];
    assert_eq!(
        app.check_memberships(&questions).await.unwrap(),
        [
            (MembershipStatus::RoomNotFound, 0),
            (MembershipStatus::Member, 1),
            (MembershipStatus::Owner, 1),
            (MembershipStatus::NotMember, 1),
            (MembershipStatus::Member, 1),
            (MembershipStatus::Member, 1)
        ]
    );
    assert_eq!(app.check_memberships(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn a_change_that_was_answered_is_known_to_every_replica() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.room_of_two().await;
    app.leave_room(FRIEND, room_id).await.unwrap();
    assert_eq!(
        other.check_memberships(&[(room_id, FRIEND)]).await.unwrap(),
        [(MembershipStatus::NotMember, 2)]
    );
    app.delete_room(OWNER, room_id).await.unwrap();
    assert_eq!(
        other.check_memberships(&[(room_id, OWNER)]).await.unwrap(),
        [(MembershipStatus::RoomNotFound, 0)]
    );
}

#[tokio::test]
async fn ten_thousand_questions_are_answered_and_more_are_refused() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let mut questions = vec![(room_id, FRIEND); 10_000];
    let answers = app.check_memberships(&questions).await.unwrap();
    assert!(
        answers.len() == 10_000
            && answers.iter().all(|&answer| answer == (MembershipStatus::Member, 1))
    );
    questions.push((room_id, FRIEND));
    assert_eq!(app.check_memberships(&questions).await.unwrap_err(), ErrorCode::BadRequest);
}
