//! What a room passes on, in which order, to whom.

use super::*;
use crate::ws::send_budget::SendBudget;

fn send_budget() -> SendBudget {
    SendBudget::of(1 << 20, 1 << 20)
}

fn frame(seq: i64) -> SharedFrames {
    send_budget().share(Frames::of_text(&seq.to_string()))
}

fn events<const N: usize>(seqs: [i64; N]) -> Vec<(i64, SharedFrames)> {
    seqs.into_iter().map(|seq| (seq, frame(seq))).collect()
}

fn send_queue(id: u64) -> Arc<SendQueue> {
    Arc::new(SendQueue::new(id, None, &send_budget()))
}

/// What was queued, without the welcome.
fn taken(send_queue: &SendQueue) -> Vec<String> {
    let frames = send_queue.take();
    let texts = frames.iter().flat_map(Frames::texts).filter(|text| *text != "welcome");
    texts.map(str::to_owned).collect()
}

fn live_room(head: i64) -> (Room, Arc<SendQueue>) {
    let (mut room, send_queue) =
        (Room::new(&send_budget(), &FlushWorkers::default()), send_queue(1));
    room.join(&send_queue, UserId::new(7));
    assert!(room.admit(1, head, 1, Frames::of_text("welcome")));
    assert_eq!(room.go_live(1, head), None);
    (room, send_queue)
}

#[test]
fn events_are_passed_on_in_order_and_once() {
    let (mut room, send_queue) = live_room(3);
    for seq in [4, 3, 5, 5, 4, 6] {
        room.offer(events([seq]));
    }
    assert_eq!(taken(&send_queue), ["4", "5", "6"]);
}

#[test]
fn events_that_come_together_are_passed_on_in_few_pieces_and_in_order() {
    let (mut room, send_queue) = live_room(3);
    room.offer(events([5, 3, 4, 8, 6]));
    let pieces = send_queue.take();
    let texts = pieces.iter().skip(1).flat_map(Frames::texts);
    assert_eq!(texts.collect::<Vec<_>>(), ["4", "5", "6"]);
    assert_eq!(pieces.len(), 2, "behind the welcome");

    let long = send_budget().share(Frames::of_text(&"x".repeat(MAX_PIECE / 2 - 16)));
    room.offer((7..12).map(|seq| (seq, long.clone())));
    let pieces = send_queue.take();
    assert!(pieces.iter().all(|piece| piece.len() <= MAX_PIECE));
    assert_eq!(pieces.len(), 3, "two fit");
    assert_eq!(pieces.iter().flat_map(Frames::texts).count(), 5);
}

#[test]
fn what_is_behind_a_hole_waits_until_it_is_filled() {
    let (mut room, send_queue) = live_room(0);
    room.offer(events([4]));
    assert!(room.starts_backfill(), "the first to see the gap has to fill it");
    room.offer(events([5]));
    assert!(!room.starts_backfill(), "one is enough");
    assert_eq!(taken(&send_queue), [""; 0]);
    assert_eq!(room.gap(), Some((0, 3)));
    room.fill(events([1, 3]), 3);
    assert_eq!(room.gap(), None);
    assert_eq!(taken(&send_queue), ["1", "3", "4", "5"]);
}

#[test]
fn a_late_event_closes_the_hole_by_itself() {
    let (mut room, send_queue) = live_room(0);
    room.offer(events([2]));
    room.offer(events([1]));
    assert_eq!(room.gap(), None);
    assert_eq!(taken(&send_queue), ["1", "2"]);
}

#[test]
fn a_head_ahead_of_the_events_is_a_hole() {
    let (mut room, _outbound) = live_room(5);
    room.note_head(5);
    assert!(!room.starts_backfill());
    room.note_head(7);
    assert!(room.starts_backfill());
    assert_eq!(room.gap(), Some((5, 7)));
}

#[test]
fn a_newcomer_gets_what_it_missed_and_then_everything_above_it_once() {
    let (mut room, _first) = live_room(5);
    let newcomer = send_queue(2);
    room.join(&newcomer, UserId::new(8));
    for seq in [6, 7, 8] {
        room.offer(events([seq]));
    }
    assert!(room.admit(2, 7, 1, Frames::of_text("welcome")));
    assert!(room.tell(2, &frame(4)) && room.tell(2, &frame(7)));
    assert_eq!(room.go_live(2, 7), None);
    room.offer(events([9]));
    assert_eq!(taken(&newcomer), ["4", "7", "8", "9"]);
}

#[test]
fn whoever_was_answered_with_a_lower_head_than_the_first_one_reads_what_is_between() {
    let (mut room, low, high) =
        (Room::new(&send_budget(), &FlushWorkers::default()), send_queue(1), send_queue(2));
    room.join(&low, UserId::new(7));
    room.join(&high, UserId::new(8));
    for seq in [6, 7, 8] {
        room.offer(events([seq]));
    }
    assert!(room.admit(2, 7, 1, Frames::of_text("welcome")));
    assert_eq!(room.go_live(2, 7), None);
    assert!(room.admit(1, 5, 1, Frames::of_text("welcome")));
    assert_eq!(room.go_live(1, 5), Some(7));
    assert!(room.tell(1, &frame(6)) && room.tell(1, &frame(7)));
    assert_eq!(room.go_live(1, 7), None);
    room.offer(events([9]));
    assert_eq!(taken(&high), ["8", "9"]);
    assert_eq!(taken(&low), ["6", "7", "8", "9"]);
}

#[test]
fn a_floor_above_the_cursor_is_not_passed_on_twice() {
    let (mut room, _first) = live_room(5);
    let newcomer = send_queue(2);
    room.join(&newcomer, UserId::new(8));
    assert!(room.admit(2, 7, 1, Frames::of_text("welcome")));
    assert!(room.tell(2, &frame(6)) && room.tell(2, &frame(7)));
    assert_eq!(room.go_live(2, 7), None);
    for seq in [6, 7, 8] {
        room.offer(events([seq]));
    }
    assert_eq!(taken(&newcomer), ["6", "7", "8"]);
}

#[test]
fn a_membership_that_ends_takes_the_subscriptions_with_it() {
    let (mut room, send_queue) = live_room(0);
    room.end(Some(UserId::new(9)), 2, &Frames::of_text("notice"));
    room.end(Some(UserId::new(7)), 1, &Frames::of_text("old news"));
    assert!(!room.is_empty());
    room.end(Some(UserId::new(7)), 2, &Frames::of_text("notice"));
    assert!(room.is_empty());
    room.offer(events([1]));
    assert_eq!(taken(&send_queue), ["notice"]);
}

#[test]
fn an_end_heard_of_while_the_membership_is_checked_is_weighed_against_the_answer() {
    let mut room = Room::new(&send_budget(), &FlushWorkers::default());
    for (id, version, expected) in [(1, 1, false), (2, 2, true)] {
        let send_queue = send_queue(id);
        room.join(&send_queue, UserId::new(7));
        room.end(Some(UserId::new(7)), 2, &Frames::of_text("notice"));
        assert_eq!(room.admit(id, 0, version, Frames::of_text("welcome")), expected);
        room.leave(id);
    }
}

#[test]
fn a_membership_that_ends_while_one_is_told_what_was_missed_ends_that() {
    let mut room = Room::new(&send_budget(), &FlushWorkers::default());
    let send_queue = send_queue(1);
    room.join(&send_queue, UserId::new(7));
    assert!(room.admit(1, 5, 1, Frames::of_text("welcome")));
    assert!(room.tell(1, &frame(4)));
    room.end(Some(UserId::new(7)), 2, &Frames::of_text("notice"));
    assert!(!room.tell(1, &frame(5)));
    assert_eq!(room.go_live(1, 5), None);
    assert_eq!(taken(&send_queue), ["4", "notice"]);
}

#[test]
fn more_than_can_be_buffered_is_read_from_the_store() {
    let (mut room, _first) = live_room(0);
    let newcomer = send_queue(2);
    room.join(&newcomer, UserId::new(8));
    assert!(room.admit(2, 0, 1, Frames::of_text("welcome")));
    let large = send_budget().share(Frames::of_text(&"x".repeat(MAX_BUFFERED / 2 - 16)));
    for seq in 1..=3 {
        room.offer([(seq, large.clone())]);
    }
    assert_eq!(room.go_live(2, 0), Some(3));
    room.offer(events([4]));
    assert!((1..=3).all(|seq| room.tell(2, &frame(seq))));
    assert_eq!(room.go_live(2, 3), None);
    assert_eq!(taken(&newcomer), ["1", "2", "3", "4"]);
}

#[test]
fn more_than_can_be_held_back_is_read_from_the_store() {
    let (mut room, _outbound) = live_room(0);
    let large = send_budget().share(Frames::of_text(&"x".repeat(MAX_HELD / 3 - 16)));
    for seq in [3, 2, 3, 4, 5] {
        room.offer([(seq, large.clone())]);
    }
    assert_eq!(room.gap(), Some((0, 1)));
    room.fill(events([1]), 1);
    assert_eq!(room.gap(), Some((4, 5)), "three fit");
    room.offer([(7, large)]);
    assert_eq!(room.gap(), Some((4, 6)), "and there is space again");
}
