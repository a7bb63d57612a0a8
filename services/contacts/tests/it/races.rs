//! Concurrent requests have the results that they would have one after the other.

use futures_util::future::join_all;
use parlance_core::ErrorCode;

use crate::app::{ALICE, BOB, TestApp};

#[tokio::test]
async fn twenty_parallel_accepts_make_one_contact() {
    let (app, rooms) = TestApp::start().await;
    let other = app.replica().await;
    let invitation = app.invite(ALICE, BOB).await.unwrap();
    let calls = (0..20).map(|i| if i % 2 == 0 { &app } else { &other }.accept(BOB, invitation.id));
    let results = join_all(calls).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let refusals = results.into_iter().flat_map(Result::err);
    assert!(refusals.into_iter().all(|code| code == ErrorCode::InvitationNotFound));
    app.assert_only_contacts(&rooms, ALICE, BOB).await;
}

#[tokio::test]
async fn twenty_pairs_inviting_each_other_at_once_become_contacts() {
    let (app, rooms) = TestApp::start().await;
    let other = app.replica().await;
    let pairs: Vec<(i64, i64)> = (1..=20).map(|i| (i, 100 + i)).collect();
    let calls =
        pairs.iter().flat_map(|&(low, high)| [app.invite(low, high), other.invite(high, low)]);
    for pair_of_results in join_all(calls).await.chunks(2) {
        assert_eq!(pair_of_results[0].as_ref().unwrap(), pair_of_results[1].as_ref().unwrap());
    }
    for (low, high) in pairs {
        app.assert_only_contacts(&rooms, low, high).await;
    }
}

#[tokio::test]
async fn parallel_invitations_of_one_user_are_one_invitation() {
    let (app, _rooms) = TestApp::start().await;
    let results = join_all((0..20).map(|_| app.invite(ALICE, BOB))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        results.into_iter().flat_map(Result::err).all(|code| code == ErrorCode::AlreadyInvited)
    );
    assert_eq!(app.list(BOB).await.received.len(), 1);
}

#[tokio::test]
async fn an_invitation_is_either_accepted_or_rejected() {
    let (app, rooms) = TestApp::start().await;
    for (inviter, invited) in (1..=20).map(|i| (i, 100 + i)) {
        let id = app.invite(inviter, invited).await.unwrap().id;
        let (accepted, rejected) = tokio::join!(app.accept(invited, id), app.reject(invited, id));
        assert_ne!(accepted.is_ok(), rejected.is_ok());
        if accepted.is_ok() {
            app.assert_only_contacts(&rooms, inviter, invited).await;
        } else {
            assert_eq!(app.list(invited).await, Default::default());
            assert!(rooms.list(invited).await.is_empty());
        }
    }
}

#[tokio::test]
async fn a_mix_of_everything_at_once_leaves_one_state() {
    let (app, rooms) = TestApp::start().await;
    let other = app.replica().await;
    for _ in 0..10 {
        let id = app.invite(ALICE, BOB).await.unwrap().id;
        let (rejected, invited, invited_back) =
            tokio::join!(app.reject(BOB, id), other.invite(ALICE, BOB), app.invite(BOB, ALICE));
        let refusals = [rejected.err(), invited.err(), invited_back.err()];
        assert!(!refusals.contains(&Some(ErrorCode::Unavailable)), "{refusals:?}");

        let list = app.list(ALICE).await;
        if !list.contacts.is_empty() {
            return app.assert_only_contacts(&rooms, ALICE, BOB).await;
        }
        // Not contacts: at most one invitation is left, and the next round begins without it.
        assert!(list.sent.len() + list.received.len() <= 1, "{list:?}");
        for invitation in list.sent.iter().chain(&list.received) {
            app.reject(invitation.to_user_id, invitation.id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_contact_is_shown_only_after_its_system_room_is_made() {
    let (app, rooms) = TestApp::start().await;
    for (user, request) in [
        (10, Request::List),
        (20, Request::Check),
        (30, Request::InviteAgain),
        (40, Request::AcceptAgain),
    ] {
        let friend = user + 1;
        let invitation = app.invite(friend, user).await.unwrap();
        app.commit_contact_without_room(invitation.id).await;
        match request {
            Request::List => assert_eq!(app.list(user).await.contacts[0].other_user_id, friend),
            Request::Check => assert!(app.are_contacts(user, friend).await),
            Request::InviteAgain => {
                assert_eq!(app.invite(friend, user).await, Err(ErrorCode::AlreadyContacts));
            }
            Request::AcceptAgain => {
                assert_eq!(
                    app.accept(user, invitation.id).await,
                    Err(ErrorCode::InvitationNotFound)
                );
            }
        }
        assert_eq!(rooms.list(user).await.len(), 1, "{request:?}");
    }
    app.until_the_outbox_is_empty().await;
}

/// The requests that reveal that two users are contacts.
#[derive(Debug)]
enum Request {
    List,
    Check,
    InviteAgain,
    AcceptAgain,
}
