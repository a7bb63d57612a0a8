//! The load of *hot room* and *many rooms*.

use parlance_bench::load::sends::{Answer, Rooms, parse_answer};
use serde_json::Value;

#[test]
fn an_ack_is_recognised_in_any_order_of_its_members() {
    let usual = r#"{"type":"ack","ref":"13","room_id":5,"message_id":1,"seq":1}"#;
    assert_eq!(parse_answer(usual).unwrap(), Answer::Ack(13));
    let other = r#"{"seq": 1, "ref": "7", "type": "ack"}"#;
    assert_eq!(parse_answer(other).unwrap(), Answer::Ack(7));
}

#[test]
fn unavailable_is_counted_and_any_other_refusal_is_an_error() {
    let later = r#"{"type":"error","error":"Later","code":"unavailable","ref":"3"}"#;
    assert_eq!(parse_answer(later).unwrap(), Answer::Unavailable(3));
    let refused = r#"{"type":"error","error":"No","code":"not_a_member","ref":"3"}"#;
    assert!(parse_answer(refused).unwrap_err().to_string().contains("not_a_member"));
    assert!(parse_answer(r#"{"type":"ack","ref":"16"}"#).is_err());
    assert!(parse_answer("not JSON").is_err());
}

#[test]
fn a_sender_uses_its_rooms_in_turn() {
    let mut rooms = Rooms { ids: [5, 6, 7].into(), next: 2 };
    let frames: Vec<Value> =
        (0..4).map(|slot| serde_json::from_str(&rooms.next_frame(slot)).unwrap()).collect();
    let ids: Vec<i64> = frames.iter().filter_map(|frame| frame["room_id"].as_i64()).collect();
    assert_eq!(ids, [7, 5, 6, 7]);
    assert_eq!(frames[3]["ref"], "3");
    assert_eq!(frames[3]["content"].as_str().unwrap().len(), 128);
}
