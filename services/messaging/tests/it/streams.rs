//! How an `Attach` stream ends.

use parlance_core::ErrorCode;

use crate::app::{OWNER, TestApp};
use crate::gateway::seqs;

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_a_gateway_that_does_not_read_is_closed_without_gaps() {
    const SENT: i64 = 6_000;
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let (mut reader, mut stalled) = (app.attach_to(room_id).await, app.attach_to(room_id).await);
    let mut sender = app.attach().await;
    let content = "x".repeat(16_384);
    // Far more than the queue of a stream holds. The gateway that reads keeps up.
    for batch in 0..SENT / 200 {
        let drafts = (0..200)
            .map(|number| sender.draft(room_id, OWNER, &format!("g:{batch}-{number}"), &content));
        let drafts = drafts.collect();
        assert!(sender.send_batch(drafts).await.iter().all(Result::is_ok));
        reader.wait_for_event(room_id, (batch + 1) * 200).await;
    }
    assert_eq!(seqs(&reader.received.events, room_id), (1..=SENT).collect::<Vec<_>>());

    assert_eq!(stalled.end().await, Some(ErrorCode::Unavailable));
    let delivered = seqs(&stalled.received.events, room_id);
    assert!((delivered.len() as i64) < SENT, "{} events", delivered.len());
    assert_eq!(
        delivered,
        (1..=delivered.len() as i64).collect::<Vec<_>>(),
        "the delivered events have no gap"
    );

    let mut again = app.attach().await;
    assert_eq!(again.subscribe(room_id, OWNER).await.unwrap().last_seq, SENT);
}

#[tokio::test]
async fn streams_are_closed_when_the_membership_log_does_not_reach_back_to_the_cursor() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room_of_two().await;
    let mut gateway = app.attach_to(room_id).await;
    // The cursor of a replica that has read nothing yet reaches back to every entry.
    app.rooms.remove_friend(room_id).await;
    gateway.wait("the end", |received| !received.ends.is_empty()).await;
    app.rooms.stop().await;
    let mut database = app.rooms.database().await;
    sqlx::query("UPDATE rooms.membership_log_floor SET xid = pg_current_xact_id()")
        .execute(&mut database)
        .await
        .unwrap();
    let _rooms = app.rooms.restart().await;
    assert_eq!(gateway.end().await, Some(ErrorCode::Unavailable));
    let mut again = app.attach().await;
    crate::app::eventually("the room can be subscribed to again", async || {
        again.subscribe(room_id, OWNER).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_draining_replica_says_go_away_and_still_answers() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach_to(room_id).await;
    app.lifecycle.draining().cancel();
    gateway.wait("go-away", |received| received.going_away).await;
    let message = gateway.store(room_id, "g:1").await;
    assert_eq!(message.seq, 1);
    gateway.wait_for_event(room_id, 1).await;
    gateway.close();
    assert_eq!(gateway.end().await, Some(ErrorCode::Unavailable));
}

#[tokio::test]
async fn messages_sent_before_a_gateway_closed_its_stream_are_stored() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach().await;
    let draft = gateway.draft(room_id, OWNER, "c:k", "the last words");
    let request =
        parlance_proto::messaging::AttachRequest { sends: vec![draft], ..Default::default() };
    gateway.request(request).await;
    gateway.close();
    gateway.end().await;
    let again = app.attach().await.send(room_id, OWNER, "c:k", "the last words").await.unwrap();
    assert_eq!(again.message.unwrap().seq, 1);
    assert_eq!(app.whole_history(room_id).await.len(), 1);
}
