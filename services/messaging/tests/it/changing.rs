//! Edits and deletions.

use futures_util::future::join_all;
use parlance_core::ErrorCode;

use crate::app::{FRIEND, OUTSIDER, OWNER, TestApp};
use crate::gateway::{describe, seqs};

#[tokio::test]
async fn an_edit_takes_the_next_number_and_keeps_the_seq_of_the_message() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach_to(room_id).await;
    let first = gateway.store(room_id, "g:1").await;
    gateway.store(room_id, "g:2").await;
    let edited = app.edit(OWNER, first.id, "anew").await.unwrap();
    assert_eq!(edited.change_seq, 3);
    let message = edited.message.unwrap();
    assert_eq!((message.id, message.seq, &*message.content), (first.id, 1, "anew"));
    assert_eq!(message.created_at_us, first.created_at_us);
    assert_eq!(message.edited_at_us, Some(message.updated_at_us));
    assert!(message.updated_at_us > first.updated_at_us);
    assert_eq!(app.whole_history(room_id).await[0], message);
    assert_eq!(describe(&gateway.wait_for_event(room_id, 3).await), "edited anew");
    assert_eq!(gateway.store(room_id, "g:3").await.seq, 4);
}

#[tokio::test]
async fn an_edit_to_the_same_content_changes_nothing() {
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room().await;
    let (mut here, mut there) = (app.attach_to(room_id).await, other.attach_to(room_id).await);
    let first = here.store(room_id, "g:1").await;
    let content = app.whole_history(room_id).await.remove(0).content;
    let unedited = app.edit(OWNER, first.id, &content).await.unwrap();
    assert_eq!(unedited.change_seq, 1);
    assert_eq!(unedited.message.unwrap(), app.whole_history(room_id).await[0]);
    assert_eq!(app.whole_history(room_id).await[0].edited_at_us, None);

    let edited = app.edit(OWNER, first.id, "anew").await.unwrap();
    assert_eq!(edited.change_seq, 2);
    assert_eq!(app.edit(OWNER, first.id, "anew").await.unwrap(), edited);
    assert_eq!(here.store(room_id, "g:2").await.seq, 3, "it takes no number");
    for gateway in [&mut here, &mut there] {
        gateway.wait_for_event(room_id, 3).await;
        assert_eq!(seqs(&gateway.received.events, room_id), [1, 2, 3], "there is no event of it");
    }
}

#[tokio::test]
async fn a_deletion_takes_the_next_number_and_the_message_is_gone() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach_to(room_id).await;
    let first = gateway.store(room_id, "g:1").await;
    assert_eq!(app.delete(OWNER, first.id).await, Ok(2));
    assert!(app.whole_history(room_id).await.is_empty());
    assert_eq!(
        describe(&gateway.wait_for_event(room_id, 2).await),
        format!("deleted {}", first.id)
    );
    assert_eq!(app.delete(OWNER, first.id).await, Err(ErrorCode::MessageNotFound));
    assert_eq!(app.edit(OWNER, first.id, "x").await, Err(ErrorCode::MessageNotFound));
    assert_eq!(gateway.store(room_id, "g:2").await.seq, 3, "refusals take no number");
    let mut database = app.database().await;
    let content: String =
        sqlx::query_scalar("SELECT content FROM messaging.messages WHERE id = $1")
            .bind(first.id)
            .fetch_one(&mut database)
            .await
            .unwrap();
    assert_eq!(content, "", "its content is deleted");
}

#[tokio::test]
async fn the_sender_edits_and_the_sender_or_the_owner_deletes() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room_of_two().await;
    let mut gateway = app.attach().await;
    let owners = gateway.send(room_id, OWNER, "g:1", "x").await.unwrap().message.unwrap().id;
    let friends = gateway.send(room_id, FRIEND, "g:1", "x").await.unwrap().message.unwrap().id;
    assert_eq!(app.edit(FRIEND, owners, "y").await, Err(ErrorCode::NotTheSender));
    assert_eq!(app.edit(OWNER, friends, "y").await, Err(ErrorCode::NotTheSender));
    assert_eq!(app.delete(FRIEND, owners).await, Err(ErrorCode::NotTheSender));
    app.edit(FRIEND, friends, "y").await.unwrap();
    app.delete(OWNER, friends).await.unwrap();
    app.delete(OWNER, owners).await.unwrap();
}

#[tokio::test]
async fn a_user_who_is_not_a_member_does_not_learn_that_a_message_exists() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room_of_two().await;
    let mut gateway = app.attach().await;
    let friends = gateway.send(room_id, FRIEND, "g:1", "x").await.unwrap().message.unwrap().id;
    app.rooms.leave(FRIEND, room_id).await;
    for user in [OUTSIDER, FRIEND] {
        assert_eq!(app.edit(user, friends, "y").await, Err(ErrorCode::MessageNotFound));
        assert_eq!(app.delete(user, friends).await, Err(ErrorCode::MessageNotFound));
    }
    for unknown in [i64::MAX, 0, -1] {
        assert_eq!(app.edit(OWNER, unknown, "y").await, Err(ErrorCode::MessageNotFound));
        assert_eq!(app.delete(OWNER, unknown).await, Err(ErrorCode::MessageNotFound));
    }
    app.rooms.delete(room_id).await;
    assert_eq!(app.delete(OWNER, friends).await, Err(ErrorCode::MessageNotFound));
}

#[tokio::test]
async fn content_that_no_message_can_have_is_refused() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let message = app.attach().await.store(room_id, "g:1").await;
    for content in ["", "  \n", "a\0b", &"x".repeat(16_385)] {
        assert_eq!(app.edit(OWNER, message.id, content).await, Err(ErrorCode::ContentInvalid));
    }
    app.edit(OWNER, message.id, &"x".repeat(16_384)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_deletions_and_sends_at_once_keep_the_numbers_dense() {
    const MESSAGES: i64 = 20;
    let app = TestApp::start().await;
    let other = app.replica().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach_to(room_id).await;
    let mut ids = Vec::new();
    for number in 0..MESSAGES {
        ids.push(gateway.store(room_id, &format!("g:{number}")).await.id);
    }

    let edits = join_all(ids.iter().map(|&id| app.edit(OWNER, id, "edited")));
    let first_deletions = join_all(ids.iter().map(|&id| other.delete(OWNER, id)));
    let second_deletions = join_all(ids.iter().map(|&id| app.delete(OWNER, id)));
    let sends = async {
        let mut gateway = other.attach().await;
        let mut seqs = Vec::new();
        for number in 0..MESSAGES {
            seqs.push(gateway.store(room_id, &format!("g:late{number}")).await.seq);
        }
        seqs
    };
    let (edits, first, second, sends) =
        tokio::join!(edits, first_deletions, second_deletions, sends);

    let mut taken: Vec<i64> = (1..=MESSAGES).chain(sends).collect();
    for (first, second) in first.into_iter().zip(second) {
        assert!(first.is_ok() != second.is_ok(), "deleted exactly once: {first:?} {second:?}");
        taken.push(first.or(second).unwrap());
    }
    for edit in edits {
        match edit {
            Ok(edit) => taken.push(edit.change_seq),
            Err(code) => assert_eq!(code, ErrorCode::MessageNotFound),
        }
    }
    taken.sort_unstable();
    let last_seq = taken.len() as i64;
    assert_eq!(taken, (1..=last_seq).collect::<Vec<_>>(), "every number was taken once");
    assert_eq!(app.whole_history(room_id).await.len() as i64, MESSAGES);
    gateway
        .wait("all events", |received| seqs(&received.events, room_id).len() as i64 == last_seq)
        .await;
    let mut delivered = seqs(&gateway.received.events, room_id);
    delivered.sort_unstable();
    assert_eq!(delivered, taken);
}
