//! What a room passes on, in which order, to whom.

use super::super::backlog::Backlog;
use super::*;

fn backlog() -> Backlog {
    Backlog::of(1 << 20, 1 << 20)
}

fn frame(seq: i64) -> SharedFrame {
    backlog().share(&seq.to_string().into())
}

fn outbound(id: u64) -> Arc<Outbound> {
    Arc::new(Outbound::new(id, &backlog()))
}

/// What was queued, without the welcome.
async fn taken(outbound: &Outbound) -> Vec<String> {
    outbound.push("end".into());
    let mut frames: Vec<String> = outbound.take().await.0.iter().map(ToString::to_string).collect();
    frames.pop();
    frames.retain(|frame| frame != "welcome");
    frames
}

fn live_room(head: i64) -> (Room, Arc<Outbound>) {
    let (mut room, outbound) = (Room::default(), outbound(1));
    room.join(&outbound, UserId::new(7));
    assert!(room.admit(1, head, 1, "welcome".into()));
    assert_eq!(room.go_live(1, head), None);
    (room, outbound)
}

#[tokio::test]
async fn events_are_passed_on_in_order_and_once() {
    let (mut room, outbound) = live_room(3);
    for seq in [4, 3, 5, 5, 4, 6] {
        room.offer(seq, frame(seq));
    }
    assert_eq!(taken(&outbound).await, ["4", "5", "6"]);
}

#[tokio::test]
async fn what_is_behind_a_hole_waits_until_it_is_filled() {
    let (mut room, outbound) = live_room(0);
    room.offer(4, frame(4));
    assert!(room.begins_filling(), "the first to see the hole has to fill it");
    room.offer(5, frame(5));
    assert!(!room.begins_filling(), "one is enough");
    assert_eq!(taken(&outbound).await, [""; 0]);
    assert_eq!(room.hole(), Some((0, 3)));
    room.fill(vec![(1, frame(1)), (3, frame(3))], 3);
    assert_eq!(room.hole(), None);
    assert_eq!(taken(&outbound).await, ["1", "3", "4", "5"]);
}

#[tokio::test]
async fn a_late_event_closes_the_hole_by_itself() {
    let (mut room, outbound) = live_room(0);
    room.offer(2, frame(2));
    room.offer(1, frame(1));
    assert_eq!(room.hole(), None);
    assert_eq!(taken(&outbound).await, ["1", "2"]);
}

#[tokio::test]
async fn a_head_ahead_of_the_events_is_a_hole() {
    let (mut room, _outbound) = live_room(5);
    room.note_head(5);
    assert!(!room.begins_filling());
    room.note_head(7);
    assert!(room.begins_filling());
    assert_eq!(room.hole(), Some((5, 7)));
}

#[tokio::test]
async fn a_newcomer_gets_what_it_missed_and_then_everything_above_it_once() {
    let (mut room, _first) = live_room(5);
    let newcomer = outbound(2);
    room.join(&newcomer, UserId::new(8));
    for seq in [6, 7, 8] {
        room.offer(seq, frame(seq));
    }
    assert!(room.admit(2, 7, 1, "welcome".into()));
    assert!(room.tell(2, &frame(4)) && room.tell(2, &frame(7)));
    assert_eq!(room.go_live(2, 7), None);
    room.offer(9, frame(9));
    assert_eq!(taken(&newcomer).await, ["4", "7", "8", "9"]);
}

#[tokio::test]
async fn whoever_was_answered_with_a_lower_head_than_the_first_one_reads_what_is_between() {
    let (mut room, low, high) = (Room::default(), outbound(1), outbound(2));
    room.join(&low, UserId::new(7));
    room.join(&high, UserId::new(8));
    for seq in [6, 7, 8] {
        room.offer(seq, frame(seq));
    }
    assert!(room.admit(2, 7, 1, "welcome".into()));
    assert_eq!(room.go_live(2, 7), None);
    assert!(room.admit(1, 5, 1, "welcome".into()));
    assert_eq!(room.go_live(1, 5), Some(7));
    assert!(room.tell(1, &frame(6)) && room.tell(1, &frame(7)));
    assert_eq!(room.go_live(1, 7), None);
    room.offer(9, frame(9));
    assert_eq!(taken(&high).await, ["8", "9"]);
    assert_eq!(taken(&low).await, ["6", "7", "8", "9"]);
}

#[tokio::test]
async fn a_floor_above_the_cursor_is_not_passed_on_twice() {
    let (mut room, _first) = live_room(5);
    let newcomer = outbound(2);
    room.join(&newcomer, UserId::new(8));
    assert!(room.admit(2, 7, 1, "welcome".into()));
    assert!(room.tell(2, &frame(6)) && room.tell(2, &frame(7)));
    assert_eq!(room.go_live(2, 7), None);
    for seq in [6, 7, 8] {
        room.offer(seq, frame(seq));
    }
    assert_eq!(taken(&newcomer).await, ["6", "7", "8"]);
}

#[tokio::test]
async fn a_membership_that_ends_takes_the_subscriptions_with_it() {
    let (mut room, outbound) = live_room(0);
    room.end(Some(UserId::new(9)), 2, &"notice".into());
    room.end(Some(UserId::new(7)), 1, &"old news".into());
    assert!(!room.is_empty());
    room.end(Some(UserId::new(7)), 2, &"notice".into());
    assert!(room.is_empty());
    room.offer(1, frame(1));
    assert_eq!(taken(&outbound).await, ["notice"]);
}

#[tokio::test]
async fn an_end_heard_of_while_the_membership_is_checked_is_weighed_against_the_answer() {
    let mut room = Room::default();
    for (id, version, expected) in [(1, 1, false), (2, 2, true)] {
        let outbound = outbound(id);
        room.join(&outbound, UserId::new(7));
        room.end(Some(UserId::new(7)), 2, &"notice".into());
        assert_eq!(room.admit(id, 0, version, "welcome".into()), expected);
        room.leave(id);
    }
}

#[tokio::test]
async fn a_membership_that_ends_while_one_is_told_what_was_missed_ends_that() {
    let mut room = Room::default();
    let outbound = outbound(1);
    room.join(&outbound, UserId::new(7));
    assert!(room.admit(1, 5, 1, "welcome".into()));
    assert!(room.tell(1, &frame(4)));
    room.end(Some(UserId::new(7)), 2, &"notice".into());
    assert!(!room.tell(1, &frame(5)));
    assert_eq!(room.go_live(1, 5), None);
    assert_eq!(taken(&outbound).await, ["4", "notice"]);
}

#[tokio::test]
async fn more_than_can_be_buffered_is_read_from_the_store() {
    let (mut room, _first) = live_room(0);
    let newcomer = outbound(2);
    room.join(&newcomer, UserId::new(8));
    assert!(room.admit(2, 0, 1, "welcome".into()));
    let large = backlog().share(&"x".repeat(MAX_BUFFERED / 2).into());
    for seq in 1..=3 {
        room.offer(seq, large.clone());
    }
    assert_eq!(room.go_live(2, 0), Some(3));
    room.offer(4, frame(4));
    assert!((1..=3).all(|seq| room.tell(2, &frame(seq))));
    assert_eq!(room.go_live(2, 3), None);
    assert_eq!(taken(&newcomer).await, ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn more_than_can_be_held_back_is_read_from_the_store() {
    let (mut room, _outbound) = live_room(0);
    let large = backlog().share(&"x".repeat(MAX_HELD / 3).into());
    for seq in [3, 2, 3, 4, 5] {
        room.offer(seq, large.clone());
    }
    assert_eq!(room.hole(), Some((0, 1)));
    room.fill(vec![(1, frame(1))], 1);
    assert_eq!(room.hole(), Some((4, 5)), "three fit");
    room.offer(7, large);
    assert_eq!(room.hole(), Some((4, 6)), "and there is space again");
}
