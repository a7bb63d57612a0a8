//! The live delivery of events.

use parlance_core::ErrorCode;

use crate::app::{FRIEND, OUTSIDER, OWNER, TestApp};
use crate::gateway::{describe, seqs};

#[tokio::test]
async fn events_of_another_replica_arrive_and_own_ones_arrive_once() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room().await;
    let (mut here, mut there) = (app.attach_to(room_id).await, other.attach_to(room_id).await);
    for number in 1..=20 {
        let message = here.store(room_id, &format!("g:{number}")).await;
        app.edit(OWNER, message.id, "edited").await.unwrap();
    }
    // When the other replica has the event, all publications of the first one have passed Redis. A
    // publication of the other replica comes after them.
    there.wait_for_event(room_id, 40).await;
    there.store(room_id, "g:last").await;
    here.wait_for_event(room_id, 41).await;
    assert_eq!(seqs(&here.received.events, room_id), (1..=41).collect::<Vec<_>>());
    let mut delivered = seqs(&there.received.events, room_id);
    delivered.sort_unstable();
    assert_eq!(delivered, (1..=41).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_event_is_the_same_on_every_replica() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room().await;
    let (mut here, mut there) = (app.attach_to(room_id).await, other.attach_to(room_id).await);
    let id = here.store(room_id, "g:1").await.id;
    app.edit(OWNER, id, "edited").await.unwrap();
    app.delete(OWNER, id).await.unwrap();
    for seq in 1..=3 {
        assert_eq!(
            here.wait_for_event(room_id, seq).await,
            there.wait_for_event(room_id, seq).await
        );
    }
}

#[tokio::test]
async fn a_subscriber_gets_the_last_seq_and_every_event_above_it() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room_of_two().await;
    let mut sender = other.attach().await;
    sender.store(room_id, "g:1").await;
    sender.store(room_id, "g:2").await;
    let mut gateway = app.attach().await;
    let start = gateway.subscribe(room_id, FRIEND).await.unwrap();
    assert_eq!(start.last_seq, 2);
    sender.store(room_id, "g:3").await;
    assert_eq!(describe(&gateway.wait_for_event(room_id, 3).await), "created g:3");
    assert_eq!(seqs(&gateway.received.events, room_id), [3]);
    app.rooms.remove_friend(room_id).await;
    assert!(gateway.subscribe(room_id, OWNER).await.unwrap().room_version > start.room_version);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_while_messages_are_sent_misses_no_event_above_its_last_seq() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room().await;
    let sends = async {
        let mut sender = other.attach().await;
        for number in 1..=100 {
            sender.store(room_id, &format!("g:{number}")).await;
        }
    };
    let subscribers = futures_util::future::join_all((0..10).map(|_| async {
        let mut gateway = app.attach().await;
        let last_seq = gateway.subscribe(room_id, OWNER).await.unwrap().last_seq;
        let above = |received: &parlance_proto::messaging::AttachResponse| -> Vec<i64> {
            let mut seqs = seqs(&received.events, room_id);
            seqs.sort_unstable();
            seqs.retain(|&seq| seq > last_seq);
            seqs
        };
        gateway
            .wait("the remaining events", |received| above(received).len() as i64 >= 100 - last_seq)
            .await;
        assert_eq!(above(&gateway.received), (last_seq + 1..=100).collect::<Vec<_>>());
    }));
    tokio::join!(sends, subscribers);
}

#[tokio::test]
async fn only_members_may_subscribe() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach().await;
    assert_eq!(gateway.subscribe(room_id, OUTSIDER).await, Err(ErrorCode::NotAMember));
    assert_eq!(gateway.subscribe(i64::MAX, OWNER).await, Err(ErrorCode::RoomNotFound));
    app.rooms.delete(room_id).await;
    assert_eq!(gateway.subscribe(room_id, OWNER).await, Err(ErrorCode::RoomNotFound));
}

#[tokio::test]
async fn a_released_room_is_not_delivered_until_it_is_subscribed_again() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let (room_id, marker) = (app.rooms.room().await, app.rooms.room().await);
    let mut gateway = app.attach_to(marker).await;
    let (mut here, mut there) = (app.attach().await, other.attach().await);
    for round in 0..10 {
        let last_seq = gateway.subscribe(room_id, OWNER).await.unwrap().last_seq;
        here.store(room_id, &format!("g:here{round}")).await;
        there.store(room_id, &format!("g:there{round}")).await;
        gateway.wait_for_event(room_id, last_seq + 1).await;
        gateway.wait_for_event(room_id, last_seq + 2).await;
        gateway.release(room_id).await;
        // An answer shows that the release was handled: requests of one stream are handled in
        // their order.
        gateway.store(marker, &format!("g:{round}")).await;
        let known = seqs(&gateway.received.events, room_id).len();
        here.store(room_id, &format!("g:unsubscribed{round}")).await;
        gateway.store(marker, &format!("g:again{round}")).await;
        assert_eq!(seqs(&gateway.received.events, room_id).len(), known);
    }
}

#[tokio::test]
async fn a_room_stays_subscribed_while_another_gateway_subscribes_to_it() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room().await;
    let mut stays = app.attach_to(room_id).await;
    let leaving = app.attach_to(room_id).await;
    let mut closing = app.attach_to(room_id).await;
    leaving.release(room_id).await;
    closing.close();
    closing.end().await;
    other.attach().await.store(room_id, "g:1").await;
    stays.wait_for_event(room_id, 1).await;
}

#[tokio::test]
async fn typing_reaches_every_replica_and_is_not_stored() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room_of_two().await;
    let (mut here, mut there) = (app.attach_to(room_id).await, other.attach_to(room_id).await);
    here.show_typing(room_id, FRIEND).await.unwrap();
    for gateway in [&mut here, &mut there] {
        let event = gateway.wait_for_event(room_id, 0).await;
        assert_eq!(describe(&event), "typing user2");
        assert!(
            format!("{event:?}").contains("origin: 7"),
            "the connection that does not get it: {event:?}"
        );
    }
    assert_eq!(app.changes(room_id, 0, 10).await.events, []);
    assert_eq!(here.store(room_id, "g:1").await.seq, 1);
    assert_eq!(here.show_typing(room_id, OUTSIDER).await, Err(ErrorCode::NotAMember));
    assert_eq!(here.show_typing(i64::MAX, OWNER).await, Err(ErrorCode::RoomNotFound));
}

#[tokio::test]
async fn without_a_collector_an_event_carries_no_trace() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room().await;
    let (mut here, mut there) = (app.attach_to(room_id).await, other.attach_to(room_id).await);
    let mut send = here.draft(room_id, OWNER, "g:1", "Hello");
    send.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    here.send_batch(vec![send]).await.remove(0).unwrap();
    for gateway in [&mut here, &mut there] {
        assert_eq!(gateway.wait_for_event(room_id, 1).await.traceparent, "");
    }
}
