//! Reading history.

use futures_util::future::join_all;
use serde_json::json;

use super::calls::{NOWHERE, delete, edit, history, page, send_each};
use crate::support::{become_contacts, make_room, people, person, stack};

#[tokio::test]
async fn history_is_read_backwards_from_the_newest() {
    let anna = person(stack().await).await;
    let (room, ids) = send_each(&anna, "abcdefg").await;
    assert_eq!(page(&anna, room, "?limit=3").await, ("efg".to_owned(), true));
    assert_eq!(
        page(&anna, room, &format!("?limit=3&before_id={}", ids[4])).await,
        ("bcd".to_owned(), true)
    );
    assert_eq!(
        page(&anna, room, &format!("?limit=3&before_id={}", ids[1])).await,
        ("a".to_owned(), false)
    );
    assert_eq!(
        page(&anna, room, &format!("?limit=3&before_id={}", ids[0])).await,
        (String::new(), false)
    );
}

#[tokio::test]
async fn history_is_read_forwards_after_an_id() {
    let anna = person(stack().await).await;
    let (room, ids) = send_each(&anna, "abcdefg").await;
    assert_eq!(
        page(&anna, room, &format!("?limit=3&after_id={}", ids[0])).await,
        ("bcd".to_owned(), true)
    );
    assert_eq!(
        page(&anna, room, &format!("?limit=3&after_id={}", ids[3])).await,
        ("efg".to_owned(), false)
    );
    assert_eq!(
        page(&anna, room, &format!("?limit=3&after_id={}", ids[6])).await,
        (String::new(), false)
    );
}

#[tokio::test]
async fn has_more_is_exact_at_the_end() {
    let anna = person(stack().await).await;
    let (room, ids) = send_each(&anna, "abc").await;
    assert_eq!(page(&anna, room, "?limit=3").await, ("abc".to_owned(), false));
    assert_eq!(page(&anna, room, "?limit=2").await, ("bc".to_owned(), true));
    assert_eq!(
        page(&anna, room, &format!("?limit=2&before_id={}", ids[2])).await,
        ("ab".to_owned(), false)
    );
    assert_eq!(
        page(&anna, room, &format!("?limit=2&after_id={}", ids[0])).await,
        ("bc".to_owned(), false)
    );
    assert_eq!(
        page(&anna, room, &format!("?limit=1&after_id={}", ids[0])).await,
        ("b".to_owned(), true)
    );
}

#[tokio::test]
async fn ids_in_the_query_are_numbers_that_need_not_exist() {
    let anna = person(stack().await).await;
    let (room, ids) = send_each(&anna, "abc").await;
    delete(&anna, &json!({"id": ids[1]})).await.ok(204);
    for (query, expected) in [
        (format!("?before_id={}", i64::MAX), "ac"),
        ("?before_id=1".to_owned(), ""),
        (format!("?before_id={}", ids[1]), "a"),
        ("?after_id=1".to_owned(), "ac"),
        (format!("?after_id={}", ids[1]), "c"),
        (format!("?after_id={}", i64::MAX), ""),
    ] {
        assert_eq!(page(&anna, room, &query).await, (expected.to_owned(), false), "{query}");
    }
}

#[tokio::test]
async fn a_page_has_fifty_messages_by_default() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    join_all((0..51).map(|_| anna.send_message(room, "x"))).await;
    assert_eq!(page(&anna, room, "").await, ("x".repeat(50), true));
    assert_eq!(page(&anna, room, "?limit=100").await, ("x".repeat(51), false));
}

#[tokio::test]
async fn the_query_of_history_is_checked_before_the_room() {
    let anna = person(stack().await).await;
    let beyond = "99999999999999999999";
    for (query, expected) in [
        ("?limit=0".to_owned(), "query.limit greater_than_equal"),
        ("?limit=-5".to_owned(), "query.limit greater_than_equal"),
        ("?limit=101".to_owned(), "query.limit less_than_equal"),
        (format!("?limit={beyond}"), "query.limit less_than_equal"),
        ("?limit=".to_owned(), "query.limit int_parsing"),
        ("?limit=ten".to_owned(), "query.limit int_parsing"),
        ("?limit=1.5".to_owned(), "query.limit int_parsing"),
        ("?before_id=0".to_owned(), "query.before_id greater_than_equal"),
        (format!("?before_id=-{beyond}"), "query.before_id greater_than_equal"),
        (format!("?before_id={beyond}"), "query.before_id less_than_equal"),
        ("?before_id=".to_owned(), "query.before_id int_parsing"),
        ("?after_id=0".to_owned(), "query.after_id greater_than_equal"),
        (format!("?after_id={beyond}"), "query.after_id less_than_equal"),
        ("?after_id=null".to_owned(), "query.after_id int_parsing"),
        ("?after_id=1&before_id=2".to_owned(), "query.after_id value_error"),
    ] {
        history(&anna, NOWHERE, &query).await.invalid(&[expected]);
    }
    let all = [
        "query.limit greater_than_equal",
        "query.before_id int_parsing",
        "query.after_id less_than_equal",
    ];
    history(&anna, NOWHERE, &format!("?limit=0&before_id=x&after_id={beyond}")).await.invalid(&all);
}

#[tokio::test]
async fn only_members_read_history() {
    let [anna, ben] = people(stack().await).await;
    let room = make_room(&anna, &[]).await;
    history(&ben, NOWHERE, "").await.refused(404, "room_not_found");
    history(&ben, room, "").await.refused(403, "not_a_member");
}

#[tokio::test]
async fn members_read_messages_from_before_they_joined() {
    let [anna, ben] = people(stack().await).await;
    become_contacts(&anna, &ben).await;
    let (room, _) = send_each(&anna, "abc").await;
    anna.post(&format!("/v1/rooms/{room}/members"), &json!({"usernames": [ben.name]}))
        .await
        .ok(200);
    assert_eq!(page(&ben, room, "").await, ("abc".to_owned(), false));
}

#[tokio::test]
async fn deleted_messages_are_absent_from_history() {
    let stack = stack().await;
    let anna = person(stack).await;
    let (room, ids) = send_each(&anna, "abcd").await;
    let answer = delete(&anna, &json!({"id": ids[0]})).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    delete(&anna, &json!({"id": ids[2]})).await.ok(204);
    assert_eq!(page(&anna.at(stack, 1), room, "?limit=2").await, ("bd".to_owned(), false));
    assert_eq!(
        page(&anna, room, &format!("?limit=2&before_id={}", ids[3])).await,
        ("b".to_owned(), false)
    );
}

/// Each gateway caches newest pages by room and limit.
#[tokio::test]
async fn a_cached_page_shows_later_changes() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let first = anna.send_message(room, "a").await;
    let steps = ["", "send", "edit", "other room", "delete"];
    let expected = [("a", "a"), ("ab", "b"), ("xb", "b"), ("xb", "b"), ("b", "b")];
    for (step, (all, last)) in steps.into_iter().zip(expected) {
        match step {
            "send" => drop(ben.send_message(room, "b").await),
            "edit" => drop(edit(&anna, &first, "x").await.ok(200)),
            "delete" => drop(delete(&anna, &first).await.ok(204)),
            "other room" => drop(send_each(&ben, "c").await),
            _ => {}
        }
        for gateway in [0, 1, 0, 1] {
            for reader in [&anna, &ben] {
                let reader = reader.at(stack, gateway);
                assert_eq!(page(&reader, room, "").await, (all.to_owned(), false), "{step}");
                assert_eq!(
                    page(&reader, room, "?limit=1").await,
                    (last.to_owned(), all.len() > 1),
                    "{step}"
                );
            }
        }
    }
    anna.delete(&format!("/v1/rooms/{room}/members/{}", ben.name)).await.ok(204);
    for gateway in [0, 1] {
        history(&ben.at(stack, gateway), room, "").await.refused(403, "not_a_member");
    }
}
