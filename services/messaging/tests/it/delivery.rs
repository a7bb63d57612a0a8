//! Live events: to whom, from where, and how often.

use parlance_core::ErrorCode;

use crate::app::{FRIEND, OWNER, STRANGER, TestApp};
use crate::link::{seqs, tells};

#[tokio::test]
async fn events_of_another_replica_come_and_ones_own_do_not_come_back() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room().await;
    let (mut here, mut there) = (app.attach_to(room_id).await, other.attach_to(room_id).await);
    for number in 1..=20 {
        let message = here.store(room_id, &format!("g:{number}")).await;
        app.edit(OWNER, message.id, "edited").await.unwrap();
    }
    // What the first one published has gone through Redis when the other one has it; what that one
    // publishes then comes after.
    there.event(room_id, 40).await;
    there.store(room_id, "g:last").await;
    here.event(room_id, 41).await;
    assert_eq!(seqs(&here.received.events, room_id), (1..=41).collect::<Vec<_>>());
    let mut told = seqs(&there.received.events, room_id);
    told.sort_unstable();
    assert_eq!(told, (1..=41).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_event_is_the_same_from_here_and_from_there() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room().await;
    let (mut here, mut there) = (app.attach_to(room_id).await, other.attach_to(room_id).await);
    let id = here.store(room_id, "g:1").await.id;
    app.edit(OWNER, id, "edited").await.unwrap();
    app.delete(OWNER, id).await.unwrap();
    for seq in 1..=3 {
        assert_eq!(here.event(room_id, seq).await, there.event(room_id, seq).await);
    }
}

#[tokio::test]
async fn a_subscriber_learns_the_head_and_everything_above_it() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room_of_two().await;
    let mut sender = other.attach().await;
    sender.store(room_id, "g:1").await;
    sender.store(room_id, "g:2").await;
    let mut link = app.attach().await;
    let start = link.subscribe(room_id, FRIEND).await.unwrap();
    assert_eq!(start.last_seq, 2);
    sender.store(room_id, "g:3").await;
    assert_eq!(tells(&link.event(room_id, 3).await), "created g:3");
    assert_eq!(seqs(&link.received.events, room_id), [3]);
    app.rooms.remove_friend(room_id).await;
    assert!(link.subscribe(room_id, OWNER).await.unwrap().room_version > start.room_version);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_subscribes_while_messages_are_sent_misses_nothing_above_the_head() {
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
        let mut link = app.attach().await;
        let head = link.subscribe(room_id, OWNER).await.unwrap().last_seq;
        let above = |received: &parlance_proto::messaging::AttachResponse| -> Vec<i64> {
            let mut seqs = seqs(&received.events, room_id);
            seqs.sort_unstable();
            seqs.retain(|&seq| seq > head);
            seqs
        };
        link.wait("the rest", |received| above(received).len() as i64 >= 100 - head).await;
        assert_eq!(above(&link.received), (head + 1..=100).collect::<Vec<_>>());
    }));
    tokio::join!(sends, subscribers);
}

#[tokio::test]
async fn only_members_may_subscribe() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut link = app.attach().await;
    assert_eq!(link.subscribe(room_id, STRANGER).await, Err(ErrorCode::NotAMember));
    assert_eq!(link.subscribe(i64::MAX, OWNER).await, Err(ErrorCode::RoomNotFound));
    app.rooms.delete(room_id).await;
    assert_eq!(link.subscribe(room_id, OWNER).await, Err(ErrorCode::RoomNotFound));
}

#[tokio::test]
async fn a_released_room_is_not_heard_of_and_can_be_heard_of_again() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let (room_id, marker) = (app.rooms.room().await, app.rooms.room().await);
    let mut link = app.attach_to(marker).await;
    let (mut here, mut there) = (app.attach().await, other.attach().await);
    for round in 0..10 {
        let head = link.subscribe(room_id, OWNER).await.unwrap().last_seq;
        here.store(room_id, &format!("g:here{round}")).await;
        there.store(room_id, &format!("g:there{round}")).await;
        link.event(room_id, head + 1).await;
        link.event(room_id, head + 2).await;
        link.release(room_id).await;
        // An answer shows that the release was handled: requests of one stream are taken up in
        // their order.
        link.store(marker, &format!("g:{round}")).await;
        let known = seqs(&link.received.events, room_id).len();
        here.store(room_id, &format!("g:unheard{round}")).await;
        link.store(marker, &format!("g:again{round}")).await;
        assert_eq!(seqs(&link.received.events, room_id).len(), known);
    }
}

#[tokio::test]
async fn a_room_stays_heard_while_another_gateway_listens() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room().await;
    let mut stays = app.attach_to(room_id).await;
    let leaves = app.attach_to(room_id).await;
    let mut hangs_up = app.attach_to(room_id).await;
    leaves.release(room_id).await;
    hangs_up.hang_up();
    hangs_up.ending().await;
    other.attach().await.store(room_id, "g:1").await;
    stays.event(room_id, 1).await;
}

#[tokio::test]
async fn typing_reaches_every_replica_and_is_stored_nowhere() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room_of_two().await;
    let (mut here, mut there) = (app.attach_to(room_id).await, other.attach_to(room_id).await);
    here.show_typing(room_id, FRIEND).await.unwrap();
    for link in [&mut here, &mut there] {
        let event = link.event(room_id, 0).await;
        assert_eq!(tells(&event), "typing user2");
        assert!(
            format!("{event:?}").contains("origin: 7"),
            "the connection that is not told: {event:?}"
        );
    }
    assert_eq!(app.changes(room_id, 0, 10).await.events, []);
    assert_eq!(here.store(room_id, "g:1").await.seq, 1);
    assert_eq!(here.show_typing(room_id, STRANGER).await, Err(ErrorCode::NotAMember));
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
    for link in [&mut here, &mut there] {
        assert_eq!(link.event(room_id, 1).await.traceparent, "");
    }
}
