//! Pages of a room's history.

use parlance_core::ErrorCode;
use parlance_proto::messaging::ReadHistoryResponse;
use parlance_proto::messaging::read_history_request::From;

use crate::app::{FRIEND, OWNER, STRANGER, TestApp};

fn contents(page: &ReadHistoryResponse) -> Vec<&str> {
    page.messages.iter().map(|message| &*message.content).collect()
}

#[tokio::test]
async fn pages_go_both_ways_in_ascending_order_and_know_whether_there_is_more() {
    let app = TestApp::start().await;
    let (room_id, elsewhere) = (app.rooms.room().await, app.rooms.room().await);
    let mut link = app.attach().await;
    let mut ids = Vec::new();
    for number in 1..=5 {
        ids.push(link.store(room_id, &number.to_string()).await.id);
        link.store(elsewhere, &number.to_string()).await;
    }
    let page = async |limit, from| app.history(OWNER, room_id, limit, from).await.unwrap();

    for (limit, from, expected, has_more) in [
        (2, None, vec!["4", "5"], true),
        (5, None, vec!["1", "2", "3", "4", "5"], false),
        (2, Some(From::BeforeId(ids[3])), vec!["2", "3"], true),
        (3, Some(From::BeforeId(ids[3])), vec!["1", "2", "3"], false),
        (2, Some(From::BeforeId(ids[0])), vec![], false),
        (2, Some(From::AfterId(ids[0])), vec!["2", "3"], true),
        (2, Some(From::AfterId(ids[2])), vec!["4", "5"], false),
        (2, Some(From::AfterId(ids[4])), vec![], false),
    ] {
        let page = page(limit, from).await;
        assert_eq!((contents(&page), page.has_more), (expected, has_more), "{limit} {from:?}");
    }
}

#[tokio::test]
async fn the_id_to_read_from_need_not_exist() {
    let app = TestApp::start().await;
    let (room_id, elsewhere) = (app.rooms.room().await, app.rooms.room().await);
    let mut link = app.attach().await;
    link.store(room_id, "1").await;
    let gap = link.store(elsewhere, "elsewhere").await.id;
    let deleted = link.store(room_id, "deleted").await.id;
    link.store(room_id, "2").await;
    app.delete(OWNER, deleted).await.unwrap();
    let page = async |from| app.history(OWNER, room_id, 10, Some(from)).await.unwrap();

    for id in [gap, deleted] {
        assert_eq!(contents(&page(From::BeforeId(id)).await), ["1"]);
        assert_eq!(contents(&page(From::AfterId(id)).await), ["2"]);
    }
    assert_eq!(contents(&page(From::BeforeId(i64::MAX)).await), ["1", "2"]);
    assert_eq!(
        contents(&page(From::AfterId(1)).await).len() + contents(&page(From::BeforeId(2)).await).len(),
        2
    );
    assert!(page(From::AfterId(i64::MAX)).await.messages.is_empty());
}

#[tokio::test]
async fn deleted_messages_do_not_count() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut link = app.attach().await;
    let first = link.store(room_id, "1").await.id;
    link.store(room_id, "2").await;
    link.store(room_id, "3").await;
    app.delete(OWNER, first).await.unwrap();
    let page = app.history(OWNER, room_id, 2, None).await.unwrap();
    assert_eq!((contents(&page), page.has_more), (vec!["2", "3"], false));
}

#[tokio::test]
async fn members_read_everything_and_others_nothing() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room_of_two().await;
    assert!(app.history(FRIEND, room_id, 10, None).await.unwrap().messages.is_empty());
    app.attach().await.store(room_id, "1").await;
    assert_eq!(contents(&app.history(FRIEND, room_id, 10, None).await.unwrap()), ["1"]);
    assert_eq!(app.history(STRANGER, room_id, 10, None).await, Err(ErrorCode::NotAMember));
    assert_eq!(app.history(OWNER, i64::MAX, 10, None).await, Err(ErrorCode::RoomNotFound));
    app.rooms.remove_friend(room_id).await;
    assert_eq!(app.history(FRIEND, room_id, 10, None).await, Err(ErrorCode::NotAMember));
    app.rooms.delete(room_id).await;
    assert_eq!(app.history(OWNER, room_id, 10, None).await, Err(ErrorCode::RoomNotFound));
}
