//! The rooms service is down while users become contacts.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::app::{ALICE, BOB, TestApp};

#[tokio::test]
async fn a_contact_is_made_at_once_and_its_room_when_the_rooms_service_is_back() {
    let app = TestApp::start_without_rooms().await;
    let other = app.replica().await;
    let started = Instant::now();
    app.make_contacts(ALICE, BOB).await;
    for (user, friend) in (10..30).map(|i| (i, 100 + i)) {
        app.invite(user, friend).await.unwrap();
        other.invite(friend, user).await.unwrap();
    }
    assert!(app.are_contacts(ALICE, BOB).await);
    assert!(started.elapsed() < Duration::from_secs(20));

    let rooms = app.start_rooms().await;
    app.until_the_outbox_is_empty().await;
    app.assert_only_contacts(&rooms, ALICE, BOB).await;
    for (user, friend) in (10..30).map(|i| (i, 100 + i)) {
        app.assert_only_contacts(&rooms, user, friend).await;
    }
}

#[tokio::test]
async fn a_rooms_service_that_hangs_does_not_delay_the_answer() {
    let app = TestApp::start_without_rooms().await;
    let silent = TcpListener::bind(app.rooms_address).await.unwrap();
    let invitation = app.invite(ALICE, BOB).await.unwrap();
    let started = Instant::now();
    app.accept(BOB, invitation.id).await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(1_500), "{:?}", started.elapsed());

    drop(silent);
    let rooms = app.start_rooms().await;
    app.until_the_outbox_is_empty().await;
    app.assert_only_contacts(&rooms, ALICE, BOB).await;
}

#[tokio::test]
async fn a_room_is_made_even_if_the_replica_that_accepted_is_gone() {
    let app = TestApp::start_without_rooms().await;
    let other = app.replica().await;
    other.make_contacts(ALICE, BOB).await;
    other.lifecycle.draining().cancel();
    drop(other);

    let rooms = app.start_rooms().await;
    app.until_the_outbox_is_empty().await;
    app.assert_only_contacts(&rooms, ALICE, BOB).await;
}
