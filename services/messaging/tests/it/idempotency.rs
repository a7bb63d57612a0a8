//! The same key from the same sender in the same room is stored once.

use futures_util::future::join_all;

use crate::app::{FRIEND, OWNER, TestApp};

#[tokio::test]
async fn a_repeated_key_returns_the_first_message() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room().await;
    let (mut gateway, mut second) = (app.attach().await, other.attach().await);
    let first = gateway.send(room_id, OWNER, "c:k", "first").await.unwrap();
    assert!(!first.duplicate);
    for gateway in [&mut gateway, &mut second] {
        let again = gateway.send(room_id, OWNER, "c:k", "something else").await.unwrap();
        assert!(again.duplicate);
        let (first, again) = (first.message.as_ref().unwrap(), again.message.unwrap());
        assert_eq!(
            (again.id, again.seq, again.created_at_us),
            (first.id, first.seq, first.created_at_us)
        );
        assert_eq!(again.content, "first");
    }
    assert_eq!(gateway.store(room_id, "c:next").await.seq, 2, "a duplicate takes no number");
}

#[tokio::test]
async fn the_same_key_twice_in_one_batch_is_stored_once() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach_to(room_id).await;
    let drafts = vec![
        gateway.draft(room_id, OWNER, "c:k", "first"),
        gateway.draft(room_id, OWNER, "c:other", "other"),
        gateway.draft(room_id, OWNER, "c:k", "second"),
    ];
    let results: Vec<_> =
        gateway.send_batch(drafts).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().map(|sent| sent.duplicate).collect::<Vec<_>>(), [false, false, true]);
    let messages: Vec<_> = results.into_iter().map(|sent| sent.message.unwrap()).collect();
    assert_eq!(messages.iter().map(|message| message.seq).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!((messages[2].id, &*messages[2].content), (messages[0].id, "first"));
    assert_eq!(gateway.received.events.len(), 2, "a duplicate makes no event");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_in_parallel_on_two_replicas_is_stored_once() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room().await;
    for round in 0..10 {
        let attempts = (0..10).map(|attempt| {
            let replica = if attempt % 2 == 0 { &app } else { &other };
            async move {
                let mut gateway = replica.attach().await;
                gateway
                    .send(room_id, OWNER, &format!("c:{round}"), &format!("{attempt}"))
                    .await
                    .unwrap()
            }
        });
        let results = join_all(attempts).await;
        assert_eq!(results.iter().filter(|sent| !sent.duplicate).count(), 1);
        assert!(results.iter().all(|sent| sent.message.as_ref().unwrap().seq == round + 1));
    }
    assert_eq!(app.whole_history(room_id).await.len(), 10);
}

#[tokio::test]
async fn a_key_is_found_after_a_restart_and_after_an_edit() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let first = app.attach().await.store(room_id, "c:k").await;
    app.edit(OWNER, first.id, "edited").await.unwrap();
    app.kill();

    let again = app.replica().await;
    let sent = again.attach().await.send(room_id, OWNER, "c:k", "first").await.unwrap();
    let message = sent.message.unwrap();
    assert!(sent.duplicate);
    assert_eq!((message.id, message.seq, &*message.content), (first.id, first.seq, "edited"));
}

#[tokio::test]
async fn keys_are_separate_for_each_sender_and_room() {
    let app = TestApp::start().await;
    let (room_id, other_room) = (app.rooms.room_of_two().await, app.rooms.room().await);
    let mut gateway = app.attach().await;
    for (room_id, sender, key) in [
        (room_id, OWNER, "c:k"),
        (room_id, FRIEND, "c:k"),
        (room_id, OWNER, "g:k"),
        (other_room, OWNER, "c:k"),
    ] {
        assert!(!gateway.send(room_id, sender, key, "x").await.unwrap().duplicate);
    }
}

#[tokio::test]
async fn a_deleted_message_frees_its_key() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach().await;
    let first = gateway.store(room_id, "c:k").await;
    app.delete(OWNER, first.id).await.unwrap();
    let second = gateway.send(room_id, OWNER, "c:k", "anew").await.unwrap();
    assert!(!second.duplicate);
    let second = second.message.unwrap();
    assert!(second.id > first.id);
    assert_eq!(second.seq, 3);
}

#[tokio::test]
async fn a_key_stored_before_is_found_in_a_batch_of_new_ones() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach().await;
    let mut draft = |key: &str| gateway.draft(room_id, OWNER, key, key);
    let (first, batch) = (draft("g:1"), vec![draft("g:2"), draft("g:1"), draft("g:3")]);
    let first = gateway.send_batch(vec![first]).await.remove(0).unwrap();
    let batch: Vec<_> = gateway.send_batch(batch).await.into_iter().map(Result::unwrap).collect();
    assert!(!first.duplicate);
    assert_eq!(batch.iter().map(|sent| sent.duplicate).collect::<Vec<_>>(), [false, true, false]);
    let seqs = batch.into_iter().map(|sent| sent.message.unwrap().seq);
    assert_eq!(seqs.collect::<Vec<_>>(), [2, 1, 3]);
}
