//! How an `Attach` stream ends.

use parlance_core::ErrorCode;

use crate::app::{OWNER, TestApp};
use crate::link::seqs;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_not_read_is_cut_and_not_thinned() {
    const SENT: i64 = 6_000;
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let (mut reader, mut sleeper) = (app.attach_to(room_id).await, app.attach_to(room_id).await);
    let mut sender = app.attach().await;
    let content = "x".repeat(16_384);
    // Far more than the queue of a gateway holds; the one that reads keeps up.
    for batch in 0..SENT / 200 {
        let drafts = (0..200)
            .map(|number| sender.draft(room_id, OWNER, &format!("g:{batch}-{number}"), &content));
        let drafts = drafts.collect();
        assert!(sender.send_batch(drafts).await.iter().all(Result::is_ok));
        reader.event(room_id, (batch + 1) * 200).await;
    }
    assert_eq!(seqs(&reader.received.events, room_id), (1..=SENT).collect::<Vec<_>>());

    assert_eq!(sleeper.ending().await, Some(ErrorCode::Unavailable));
    let told = seqs(&sleeper.received.events, room_id);
    assert!((told.len() as i64) < SENT, "{} events", told.len());
    assert_eq!(told, (1..=told.len() as i64).collect::<Vec<_>>(), "what was told has no hole");

    let mut again = app.attach().await;
    assert_eq!(again.subscribe(room_id, OWNER).await.unwrap().last_seq, SENT);
}

#[tokio::test]
async fn gateways_attach_anew_when_the_log_of_memberships_does_not_reach_back() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut link = app.attach_to(room_id).await;
    app.rooms.go_away().await;
    let mut database = app.rooms.database().await;
    sqlx::query("UPDATE rooms.membership_log_floor SET xid = pg_current_xact_id()")
        .execute(&mut database)
        .await
        .unwrap();
    let _rooms = app.rooms.come_back().await;
    assert_eq!(link.ending().await, Some(ErrorCode::Unavailable));
    let mut again = app.attach().await;
    crate::app::eventually("the room can be subscribed to again", async || {
        again.subscribe(room_id, OWNER).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_drains_says_so_and_still_answers() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut link = app.attach_to(room_id).await;
    app.lifecycle.draining().cancel();
    link.wait("the goodbye", |received| received.going_away).await;
    let message = link.store(room_id, "g:1").await;
    assert_eq!(message.seq, 1);
    link.event(room_id, 1).await;
    link.hang_up();
    assert_eq!(link.ending().await, Some(ErrorCode::Unavailable));
}

#[tokio::test]
async fn what_was_asked_before_a_gateway_went_is_stored() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut link = app.attach().await;
    let draft = link.draft(room_id, OWNER, "c:k", "the last words");
    let request =
        parlance_proto::messaging::AttachRequest { sends: vec![draft], ..Default::default() };
    link.ask(request).await;
    link.hang_up();
    link.ending().await;
    let again = app.attach().await.send(room_id, OWNER, "c:k", "the last words").await.unwrap();
    assert_eq!(again.message.unwrap().seq, 1);
    assert_eq!(app.whole_history(room_id).await.len(), 1);
}
