//! Pages of a room's history.

use parlance_core::ErrorCode;
use parlance_proto::messaging::history_question::From;
use parlance_proto::messaging::{HistoryPage, HistoryQuestion};

use crate::app::{FRIEND, OUTSIDER, OWNER, TestApp};

fn contents(page: &HistoryPage) -> Vec<&str> {
    page.messages.iter().map(|message| &*message.content).collect()
}

#[tokio::test]
async fn pages_go_both_ways_in_ascending_order_and_say_whether_there_are_more() {
    let app = TestApp::start().await;
    let (room_id, other_room) = (app.rooms.room().await, app.rooms.room().await);
    let mut gateway = app.attach().await;
    let mut ids = Vec::new();
    for number in 1..=5 {
        ids.push(gateway.store(room_id, &number.to_string()).await.id);
        gateway.store(other_room, &number.to_string()).await;
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
    let (room_id, other_room) = (app.rooms.room().await, app.rooms.room().await);
    let mut gateway = app.attach().await;
    gateway.store(room_id, "1").await;
    let gap = gateway.store(other_room, "there").await.id;
    let deleted = gateway.store(room_id, "deleted").await.id;
    gateway.store(room_id, "2").await;
    app.delete(OWNER, deleted).await.unwrap();
    let page = async |from| app.history(OWNER, room_id, 10, Some(from)).await.unwrap();

    for id in [gap, deleted] {
        assert_eq!(contents(&page(From::BeforeId(id)).await), ["1"]);
        assert_eq!(contents(&page(From::AfterId(id)).await), ["2"]);
    }
    assert_eq!(contents(&page(From::BeforeId(i64::MAX)).await), ["1", "2"]);
    assert_eq!(
        contents(&page(From::AfterId(1)).await).len()
            + contents(&page(From::BeforeId(2)).await).len(),
        2
    );
    assert!(page(From::AfterId(i64::MAX)).await.messages.is_empty());
}

#[tokio::test]
async fn deleted_messages_do_not_count() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room().await;
    let mut gateway = app.attach().await;
    let first = gateway.store(room_id, "1").await.id;
    gateway.store(room_id, "2").await;
    gateway.store(room_id, "3").await;
    app.delete(OWNER, first).await.unwrap();
    let page = app.history(OWNER, room_id, 2, None).await.unwrap();
    assert_eq!((contents(&page), page.has_more), (vec!["2", "3"], false));
}

#[tokio::test]
async fn only_members_read_messages() {
    let app = TestApp::start().await;
    let room_id = app.rooms.room_of_two().await;
    assert!(app.history(FRIEND, room_id, 10, None).await.unwrap().messages.is_empty());
    app.attach().await.store(room_id, "1").await;
    assert_eq!(contents(&app.history(FRIEND, room_id, 10, None).await.unwrap()), ["1"]);
    assert_eq!(app.history(OUTSIDER, room_id, 10, None).await, Err(ErrorCode::NotAMember));
    assert_eq!(app.history(OWNER, i64::MAX, 10, None).await, Err(ErrorCode::RoomNotFound));
    app.rooms.remove_friend(room_id).await;
    assert_eq!(app.history(FRIEND, room_id, 10, None).await, Err(ErrorCode::NotAMember));
    app.rooms.delete(room_id).await;
    assert_eq!(app.history(OWNER, room_id, 10, None).await, Err(ErrorCode::RoomNotFound));
}

#[tokio::test]
async fn one_call_returns_pages_of_several_rooms() {
    let app = TestApp::start().await;
    let (room_id, shared) = (app.rooms.room().await, app.rooms.room_of_two().await);
    let mut gateway = app.attach().await;
    for content in ["1", "2", "3"] {
        gateway.store(room_id, content).await;
        gateway.store(shared, &format!("shared {content}")).await;
    }
    let question = |acting_user_id, room_id, from| HistoryQuestion {
        acting_user_id,
        room_id,
        limit: 2,
        from,
        known_last_seq: None,
    };

    let answers = app.read_history(vec![
        question(FRIEND, shared, None),
        question(FRIEND, room_id, None),
        question(OWNER, room_id, None),
        question(OWNER, room_id, None),
        question(OWNER, i64::MAX, None),
        question(OWNER, shared, Some(From::AfterId(0))),
    ]);
    let answers = answers.await.unwrap();
    let actual: Vec<_> = answers
        .iter()
        .map(|answer| {
            answer.as_ref().map(|page| contents(page.as_ref().unwrap())).map_err(|code| *code)
        })
        .collect();
    let expected = [
        Ok(vec!["shared 2", "shared 3"]),
        Err(ErrorCode::NotAMember),
        Ok(vec!["2", "3"]),
        Ok(vec!["2", "3"]),
        Err(ErrorCode::RoomNotFound),
        Ok(vec!["shared 1", "shared 2"]),
    ];
    assert_eq!(actual, expected);
}

#[tokio::test]
async fn the_newest_page_is_not_sent_again_while_nothing_changes() {
    let app = TestApp::start().await;
    let (room_id, other_room) = (app.rooms.room_of_two().await, app.rooms.room().await);
    let mut gateway = app.attach().await;
    let read = async |acting_user_id, known_last_seq, from| {
        let question = HistoryQuestion { acting_user_id, room_id, limit: 2, from, known_last_seq };
        app.read_history(vec![question]).await.unwrap().remove(0)
    };
    let empty = read(OWNER, None, None).await.unwrap().unwrap();
    assert_eq!(empty.last_seq, 0, "a room without messages");

    let first = gateway.store(room_id, "1").await.id;
    let mut known = 0;
    for (change, expected) in [
        ("none", vec!["1"]),
        ("send", vec!["1", "2"]),
        ("edit", vec!["x", "2"]),
        ("delete", vec!["2"]),
    ] {
        match change {
            "send" => drop(gateway.store(room_id, "2").await),
            "edit" => drop(app.edit(OWNER, first, "x").await.unwrap()),
            "delete" => drop(app.delete(OWNER, first).await.unwrap()),
            _ => {}
        }
        let page = read(OWNER, Some(known), None).await.unwrap().expect("the page has changed");
        assert_eq!(contents(&page), expected, "{change}");
        assert!(page.last_seq > known, "{change}");
        known = page.last_seq;
        gateway.store(other_room, change).await;
        for member in [OWNER, FRIEND] {
            assert_eq!(read(member, Some(known), None).await, Ok(None), "{change}");
        }
    }
    assert_eq!(read(OUTSIDER, Some(known), None).await, Err(ErrorCode::NotAMember));
    let older = read(OWNER, Some(known), Some(From::BeforeId(i64::MAX))).await.unwrap().unwrap();
    assert_eq!(
        (contents(&older), older.last_seq),
        (vec!["2"], 0),
        "only the newest page has a last_seq"
    );
}

#[tokio::test]
async fn pages_can_start_at_any_id() {
    let app = TestApp::start().await;
    let (room_id, other_room) = (app.rooms.room().await, app.rooms.room().await);
    let mut gateway = app.attach().await;
    let mut ids = Vec::new();
    for number in 0..12 {
        let id = gateway.store(room_id, &number.to_string()).await.id;
        ids.push(id);
        // Changes take numbers, and other rooms take ids.
        if number % 3 == 0 {
            app.edit(OWNER, id, "y").await.unwrap();
        }
        if number % 4 == 1 {
            gateway.store(other_room, &number.to_string()).await;
        }
    }
    let question = |from| HistoryQuestion {
        acting_user_id: OWNER,
        room_id,
        limit: 100,
        from: Some(from),
        known_last_seq: None,
    };
    let places: Vec<i64> = (ids[0] - 2..=ids[11] + 2).collect();
    let before = app
        .read_history(places.iter().map(|&id| question(From::BeforeId(id))).collect())
        .await
        .unwrap();
    let after = app
        .read_history(places.iter().map(|&id| question(From::AfterId(id))).collect())
        .await
        .unwrap();

    let ids_of = |page: &Result<Option<HistoryPage>, ErrorCode>| -> Vec<i64> {
        page.as_ref().unwrap().as_ref().unwrap().messages.iter().map(|message| message.id).collect()
    };
    for (place, (before, after)) in places.into_iter().zip(before.iter().zip(&after)) {
        let (below, above): (Vec<i64>, Vec<i64>) =
            ids.iter().filter(|&&id| id != place).partition(|&&id| id < place);
        assert_eq!((ids_of(before), ids_of(after)), (below, above), "{place}");
    }
}

/// Reading from an id takes long in one room.
const SLOW_ROOM: &str = "
    CREATE OR REPLACE FUNCTION messaging.seq_from(p_room_id BIGINT, p_id BIGINT)
    RETURNS BIGINT
    LANGUAGE plpgsql STABLE STRICT AS $$
    BEGIN
        PERFORM pg_sleep(10) FROM messaging.messages
        WHERE room_id = p_room_id AND content = 'slow';
        RETURN p_id;
    END
    $$";

#[tokio::test]
async fn a_room_that_is_read_slowly_fails_alone() {
    let app = TestApp::start().await;
    let mut gateway = app.attach().await;
    let mut questions = Vec::new();
    for content in ["quick", "slow", "also quick"] {
        let room_id = app.rooms.room().await;
        gateway.store(room_id, content).await;
        questions.push(HistoryQuestion {
            acting_user_id: OWNER,
            room_id,
            limit: 10,
            from: Some(From::BeforeId(i64::MAX)),
            known_last_seq: None,
        });
    }
    sqlx::raw_sql(SLOW_ROOM).execute(&mut app.database().await).await.unwrap();
    let answers = app.read_history(questions).await.unwrap();
    let actual: Vec<_> = answers
        .iter()
        .map(|answer| {
            answer.as_ref().map(|page| contents(page.as_ref().unwrap())).map_err(|code| *code)
        })
        .collect();
    assert_eq!(actual, [Ok(vec!["quick"]), Err(ErrorCode::Unavailable), Ok(vec!["also quick"])]);
}
