//! Inviting, accepting, rejecting.

use parlance_core::ErrorCode;

use crate::app::{ALICE, BOB, CAROL, TestApp};

#[tokio::test]
async fn an_invitation_is_seen_by_both_and_is_no_contact_yet() {
    let (app, rooms) = TestApp::start().await;
    let invitation = app.invite(BOB, ALICE).await.unwrap();
    assert_eq!((invitation.from_user_id, invitation.to_user_id), (BOB, ALICE));
    assert_eq!(invitation.created_at_us, app.clock.now().as_micros());
    assert_eq!(invitation.updated_at_us, invitation.created_at_us);

    let (sender, receiver) = (app.list(BOB).await, app.list(ALICE).await);
    assert_eq!(sender.sent, std::slice::from_ref(&invitation));
    assert_eq!(receiver.received, [invitation]);
    assert!(sender.received.is_empty() && sender.contacts.is_empty());
    assert!(receiver.sent.is_empty() && receiver.contacts.is_empty());
    assert!(!app.are_contacts(ALICE, BOB).await);
    assert!(rooms.list(ALICE).await.is_empty());
}

#[tokio::test]
async fn accepting_makes_a_contact_and_a_system_room_before_it_answers() {
    let (app, rooms) = TestApp::start().await;
    let invitation = app.invite(BOB, ALICE).await.unwrap();
    app.clock.advance(std::time::Duration::from_secs(1));
    let contact = app.accept(ALICE, invitation.id).await.unwrap();

    let room = rooms.list(BOB).await.pop().unwrap();
    assert!(room.is_system);
    assert_eq!(room.members.iter().map(|member| member.user_id).collect::<Vec<_>>(), [ALICE, BOB]);
    assert_eq!(contact.other_user_id, BOB);
    assert_eq!(contact.created_at_us, app.clock.now().as_micros());
    assert_eq!(contact.updated_at_us, contact.created_at_us);
    assert_eq!(app.list(ALICE).await.contacts, [contact]);
    let seen_by_other = app.list(BOB).await.contacts.pop().unwrap();
    assert_eq!((seen_by_other.id, seen_by_other.other_user_id), (contact.id, ALICE));
    assert!(app.are_contacts(ALICE, BOB).await && app.are_contacts(BOB, ALICE).await);
    app.assert_only_contacts(&rooms, ALICE, BOB).await;
}

#[tokio::test]
async fn inviting_back_accepts_the_first_invitation_and_returns_it() {
    let (app, rooms) = TestApp::start().await;
    let first = app.invite(BOB, ALICE).await.unwrap();
    app.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(app.invite(ALICE, BOB).await.unwrap(), first);
    app.assert_only_contacts(&rooms, ALICE, BOB).await;
    assert_eq!(app.list(ALICE).await.contacts[0].created_at_us, app.clock.now().as_micros());
}

#[tokio::test]
async fn invitations_of_oneself_repeated_ones_and_ones_of_contacts_are_refused() {
    let (app, _rooms) = TestApp::start().await;
    assert_eq!(app.invite(ALICE, ALICE).await.unwrap_err(), ErrorCode::SelfInvitation);
    app.invite(ALICE, BOB).await.unwrap();
    assert_eq!(app.invite(ALICE, BOB).await.unwrap_err(), ErrorCode::AlreadyInvited);
    app.make_contacts(ALICE, CAROL).await;
    assert_eq!(app.invite(ALICE, CAROL).await.unwrap_err(), ErrorCode::AlreadyContacts);
    assert_eq!(app.invite(CAROL, ALICE).await.unwrap_err(), ErrorCode::AlreadyContacts);
}

#[tokio::test]
async fn only_the_invited_user_finds_the_invitation() {
    let (app, _rooms) = TestApp::start().await;
    let invitation = app.invite(ALICE, BOB).await.unwrap();
    for (user, id) in
        [(ALICE, invitation.id), (CAROL, invitation.id), (BOB, 999), (BOB, 0), (BOB, -1)]
    {
        assert_eq!(app.accept(user, id).await.unwrap_err(), ErrorCode::InvitationNotFound);
        assert_eq!(app.reject(user, id).await.unwrap_err(), ErrorCode::InvitationNotFound);
    }
    assert_eq!(app.list(BOB).await.received, [invitation]);
}

#[tokio::test]
async fn an_accepted_invitation_can_be_neither_accepted_nor_rejected() {
    let (app, rooms) = TestApp::start().await;
    let contact = app.make_contacts(ALICE, BOB).await;
    for user in [ALICE, BOB] {
        assert_eq!(app.accept(user, contact.id).await.unwrap_err(), ErrorCode::InvitationNotFound);
        assert_eq!(app.reject(user, contact.id).await.unwrap_err(), ErrorCode::InvitationNotFound);
    }
    app.assert_only_contacts(&rooms, ALICE, BOB).await;
}

#[tokio::test]
async fn after_a_rejection_either_user_may_invite_with_a_new_id() {
    let (app, rooms) = TestApp::start().await;
    let first = app.invite(ALICE, BOB).await.unwrap();
    app.reject(BOB, first.id).await.unwrap();
    assert_eq!(app.reject(BOB, first.id).await.unwrap_err(), ErrorCode::InvitationNotFound);
    assert!(app.list(ALICE).await.sent.is_empty() && app.list(BOB).await.received.is_empty());

    let second = app.invite(ALICE, BOB).await.unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(app.accept(BOB, first.id).await.unwrap_err(), ErrorCode::InvitationNotFound);
    app.reject(BOB, second.id).await.unwrap();
    app.invite(BOB, ALICE).await.unwrap();
    app.invite(ALICE, BOB).await.unwrap();
    app.assert_only_contacts(&rooms, ALICE, BOB).await;
}

#[tokio::test]
async fn a_user_is_no_contact_of_themselves_or_of_an_unknown_user() {
    let (app, _rooms) = TestApp::start().await;
    app.make_contacts(ALICE, BOB).await;
    assert!(!app.are_contacts(ALICE, ALICE).await);
    assert!(!app.are_contacts(ALICE, 999).await);
}
