//! Invitations that are taken back, or that nobody answers, and how many may be open.

use std::time::Duration;

use futures_util::future::join_all;
use parlance_core::ErrorCode;
use parlance_testkit::eventually;

use crate::app::{ALICE, BOB, CAROL, MAX_OPEN_INVITATIONS, TestApp};

/// The users that ALICE invites up to the limit.
fn invited() -> impl Iterator<Item = i64> {
    (0..i64::from(MAX_OPEN_INVITATIONS)).map(|number| 100 + number)
}

#[tokio::test]
async fn an_invitation_is_taken_back_by_its_sender_alone() {
    let (app, rooms) = TestApp::start().await;
    let id = app.invite(ALICE, BOB).await.unwrap().id;
    for user in [BOB, CAROL] {
        assert_eq!(app.withdraw(user, id).await.unwrap_err(), ErrorCode::InvitationNotFound);
    }
    app.withdraw(ALICE, id).await.unwrap();
    assert_eq!(app.withdraw(ALICE, id).await.unwrap_err(), ErrorCode::InvitationNotFound);
    assert_eq!(app.accept(BOB, id).await.unwrap_err(), ErrorCode::InvitationNotFound);
    for user in [ALICE, BOB] {
        assert_eq!(app.list(user).await, Default::default());
        assert!(rooms.list(user).await.is_empty());
    }
    assert_ne!(app.invite(ALICE, BOB).await.unwrap().id, id, "a new invitation");
    let contact = app.make_contacts(ALICE, CAROL).await;
    assert_eq!(app.withdraw(ALICE, contact.id).await.unwrap_err(), ErrorCode::InvitationNotFound);
    assert!(app.are_contacts(ALICE, CAROL).await);
}

#[tokio::test]
async fn an_invitation_is_either_accepted_or_taken_back() {
    let (app, rooms) = TestApp::start().await;
    let other = app.replica().await;
    for (inviter, invited) in (1..=20).map(|i| (i, 100 + i)) {
        let id = app.invite(inviter, invited).await.unwrap().id;
        let (accepted, withdrawn) =
            tokio::join!(app.accept(invited, id), other.withdraw(inviter, id));
        assert_ne!(accepted.is_ok(), withdrawn.is_ok());
        if accepted.is_ok() {
            app.assert_only_contacts(&rooms, inviter, invited).await;
        } else {
            assert_eq!(app.list(invited).await, Default::default());
            assert!(rooms.list(invited).await.is_empty());
        }
    }
}

#[tokio::test]
async fn an_invitation_that_nobody_answers_ends() {
    let (app, rooms) = TestApp::start().await;
    let ended = app.invite(ALICE, BOB).await.unwrap().id;
    app.expire(ended).await;
    for user in [ALICE, BOB] {
        assert_eq!(app.list(user).await, Default::default());
    }
    for refused in [
        app.accept(BOB, ended).await.map(drop),
        app.reject(BOB, ended).await,
        app.withdraw(ALICE, ended).await,
    ] {
        assert_eq!(refused.unwrap_err(), ErrorCode::InvitationNotFound);
    }

    // The opposite one does not accept it, and the same one is a new one.
    let opposite = app.invite(BOB, ALICE).await.unwrap();
    assert_eq!((opposite.from_user_id, opposite.to_user_id), (BOB, ALICE));
    assert_ne!(opposite.id, ended);
    app.expire(opposite.id).await;
    let again = app.invite(BOB, ALICE).await.unwrap();
    assert!(again.id != opposite.id && rooms.list(ALICE).await.is_empty());
    app.accept(ALICE, again.id).await.unwrap();
    app.assert_only_contacts(&rooms, ALICE, BOB).await;
}

#[tokio::test]
async fn a_contact_does_not_end_with_its_invitation() {
    let (app, rooms) = TestApp::start().await;
    let contact = app.make_contacts(ALICE, BOB).await;
    app.expire(contact.id).await;
    app.assert_only_contacts(&rooms, ALICE, BOB).await;
    assert_eq!(app.invite(ALICE, BOB).await.unwrap_err(), ErrorCode::AlreadyContacts);
}

#[tokio::test]
async fn ended_invitations_are_deleted_in_the_background() {
    let (app, _rooms) = TestApp::start().await;
    let ended = app.invite(ALICE, BOB).await.unwrap().id;
    let open = app.invite(ALICE, CAROL).await.unwrap().id;
    let contact = app.make_contacts(BOB, CAROL).await.id;
    app.expire(ended).await;
    app.expire(contact).await;
    // A replica begins with it when it starts.
    let _replica = app.replica().await;
    eventually(Duration::from_secs(20), "the row is deleted", async || {
        let mut database = app.database().await;
        let ids = sqlx::query_scalar("SELECT id FROM contacts.pairs ORDER BY id");
        let ids: Vec<i64> = ids.fetch_all(&mut database).await.unwrap();
        ids == [open, contact]
    })
    .await;
}

#[tokio::test]
async fn a_user_has_only_so_many_open_invitations() {
    let (app, _rooms) = TestApp::start().await;
    let mut ids = Vec::new();
    for user in invited() {
        ids.push(app.invite(ALICE, user).await.unwrap().id);
    }
    let beyond = async || app.invite(ALICE, BOB).await.map(|invitation| invitation.id);
    assert_eq!(beyond().await.unwrap_err(), ErrorCode::TooManyInvitations);
    let repeated = app.invite(ALICE, 100).await;
    assert_eq!(repeated.unwrap_err(), ErrorCode::AlreadyInvited, "which comes first");
    assert!(app.list(BOB).await.received.is_empty());

    // Those of others do not count, and accepting is no invitation.
    app.invite(BOB, ALICE).await.unwrap();
    app.invite(ALICE, BOB).await.unwrap();
    assert!(app.are_contacts(ALICE, BOB).await);

    // Each way to end makes room for one.
    app.withdraw(ALICE, ids[0]).await.unwrap();
    app.reject(101, ids[1]).await.unwrap();
    app.accept(102, ids[2]).await.unwrap();
    app.expire(ids[3]).await;
    for user in 201..=204 {
        app.invite(ALICE, user).await.unwrap();
    }
    assert_eq!(app.invite(ALICE, 205).await.unwrap_err(), ErrorCode::TooManyInvitations);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_holds_when_replicas_invite_at_once() {
    let (app, _rooms) = TestApp::start().await;
    let other = app.replica().await;
    let calls =
        invited().flat_map(|user| [app.invite(ALICE, user), other.invite(ALICE, 500 + user)]);
    let results = join_all(calls).await;
    let made = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(made, MAX_OPEN_INVITATIONS as usize);
    let refusals = results.into_iter().flat_map(Result::err);
    assert!(refusals.into_iter().all(|code| code == ErrorCode::TooManyInvitations));
    assert_eq!(app.list(ALICE).await.sent.len(), made);
}
