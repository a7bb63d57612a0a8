//! The order in which a room delivers changes, and the subscribers that get them.

use super::*;
use crate::fanout::subscriber::MAX_BUFFERED_BYTES;

fn send_budget() -> SendBudget {
    SendBudget::with_limits(1 << 20, 1 << 20)
}

fn room() -> Room {
    Room::new(&send_budget(), &FlushWorkers::default())
}

/// Adds a subscriber, whose user has the same id as its connection.
fn join(room: &mut Room, id: u64) -> Arc<SendQueue> {
    let send_queue = Arc::new(SendQueue::new(id, None, &send_budget()));
    room.join(&send_queue, UserId::new(id as i64), None);
    send_queue
}

/// A room with one live subscriber, whose id is 1.
fn live_room(last_seq: i64) -> (Room, Arc<SendQueue>) {
    let mut room = room();
    let send_queue = join(&mut room, 1);
    assert!(confirm(&mut room, 1, last_seq, 1));
    assert_eq!(room.go_live(1, last_seq), None);
    (room, send_queue)
}

fn confirm(room: &mut Room, id: u64, last_seq: i64, room_version: i64) -> bool {
    room.confirm(id, last_seq, room_version, Frames::from_text("subscribed"))
}

fn end_membership(room: &mut Room, user_id: i64, room_version: i64) {
    room.end_membership(Some(UserId::new(user_id)), room_version, &Frames::from_text("ended"));
}

fn frame(seq: i64) -> SharedFrames {
    send_budget().share(Frames::from_text(&seq.to_string()))
}

fn changes<const N: usize>(seqs: [i64; N]) -> [Change; N] {
    seqs.map(|seq| (seq, frame(seq)))
}

fn replay<const N: usize>(room: &Room, id: u64, seqs: [i64; N]) {
    assert!(seqs.into_iter().all(|seq| room.replay(id, &frame(seq))));
}

/// The queued texts, without the answer to the subscription.
fn taken(send_queue: &SendQueue) -> Vec<String> {
    let frames = send_queue.take();
    let texts = frames.iter().flat_map(Frames::texts).filter(|text| *text != "subscribed");
    texts.map(str::to_owned).collect()
}

#[test]
fn changes_are_delivered_in_order_and_once() {
    let (mut room, send_queue) = live_room(3);
    for seq in [4, 3, 5, 5, 4, 6] {
        room.on_changes(changes([seq]));
    }
    assert_eq!(taken(&send_queue), ["4", "5", "6"]);
}

#[test]
fn changes_of_one_batch_are_delivered_in_few_chunks() {
    let (mut room, send_queue) = live_room(3);
    room.on_changes(changes([5, 3, 4, 8, 6]));
    let chunks = send_queue.take();
    let texts = chunks.iter().skip(1).flat_map(Frames::texts);
    assert_eq!(texts.collect::<Vec<_>>(), ["4", "5", "6"]);
    assert_eq!(chunks.len(), 2, "the answer and one chunk");

    let long = send_budget().share(Frames::from_text(&"x".repeat(MAX_CHUNK_BYTES / 2 - 16)));
    room.on_changes((7..12).map(|seq| (seq, long.clone())));
    let chunks = send_queue.take();
    assert!(chunks.iter().all(|chunk| chunk.len() <= MAX_CHUNK_BYTES));
    assert_eq!(chunks.len(), 3, "two fit");
    assert_eq!(chunks.iter().flat_map(Frames::texts).count(), 5);
}

#[test]
fn changes_behind_a_gap_wait_for_the_backfill() {
    let (mut room, send_queue) = live_room(0);
    room.on_changes(changes([4]));
    assert!(room.begin_backfill());
    room.on_changes(changes([5]));
    assert!(!room.begin_backfill(), "one backfill is enough");
    assert_eq!(taken(&send_queue), [""; 0]);
    assert_eq!(room.next_gap(), Some((0, 3)));
    room.backfill(changes([1, 3]).into(), 3);
    assert_eq!(room.next_gap(), None);
    assert_eq!(taken(&send_queue), ["1", "3", "4", "5"]);
}

#[test]
fn a_late_change_closes_a_gap_without_backfill() {
    let (mut room, send_queue) = live_room(0);
    room.on_changes(changes([2]));
    room.on_changes(changes([1]));
    assert_eq!(room.next_gap(), None);
    assert_eq!(taken(&send_queue), ["1", "2"]);
}

#[test]
fn a_last_seq_above_the_delivered_changes_is_a_gap() {
    let (mut room, _send_queue) = live_room(5);
    room.note_last_seq(5);
    assert!(!room.begin_backfill());
    room.note_last_seq(7);
    assert!(room.begin_backfill());
    assert_eq!(room.next_gap(), Some((5, 7)));
}

#[test]
fn a_new_subscriber_gets_missed_and_later_changes_once() {
    let (mut room, _other) = live_room(5);
    let send_queue = join(&mut room, 2);
    room.on_changes(changes([6, 7, 8]));
    assert!(confirm(&mut room, 2, 7, 1));
    replay(&room, 2, [4, 7]);
    assert_eq!(room.go_live(2, 7), None);
    room.on_changes(changes([9]));
    assert_eq!(taken(&send_queue), ["4", "7", "8", "9"]);
}

#[test]
fn a_lower_last_seq_than_that_of_the_first_answer_needs_a_longer_replay() {
    let mut room = room();
    let (low, high) = (join(&mut room, 1), join(&mut room, 2));
    room.on_changes(changes([6, 7, 8]));
    assert!(confirm(&mut room, 2, 7, 1));
    assert_eq!(room.go_live(2, 7), None);
    assert!(confirm(&mut room, 1, 5, 1));
    assert_eq!(room.go_live(1, 5), Some(7));
    replay(&room, 1, [6, 7]);
    assert_eq!(room.go_live(1, 7), None);
    room.on_changes(changes([9]));
    assert_eq!(taken(&high), ["8", "9"]);
    assert_eq!(taken(&low), ["6", "7", "8", "9"]);
}

#[test]
fn changes_replayed_before_their_delivery_are_not_delivered_again() {
    let (mut room, _other) = live_room(5);
    let send_queue = join(&mut room, 2);
    assert!(confirm(&mut room, 2, 7, 1));
    replay(&room, 2, [6, 7]);
    assert_eq!(room.go_live(2, 7), None);
    for seq in [6, 7, 8] {
        room.on_changes(changes([seq]));
    }
    assert_eq!(taken(&send_queue), ["6", "7", "8"]);
}

#[test]
fn the_end_of_a_membership_ends_older_subscriptions() {
    let (mut room, send_queue) = live_room(0);
    end_membership(&mut room, 9, 2);
    end_membership(&mut room, 1, 1);
    assert!(!room.is_empty());
    end_membership(&mut room, 1, 2);
    assert!(room.is_empty());
    room.on_changes(changes([1]));
    assert_eq!(taken(&send_queue), ["ended"]);
}

#[test]
fn a_membership_end_before_the_answer_counts_if_its_version_is_newer() {
    let mut room = room();
    for (id, version, is_confirmed) in [(1, 1, false), (2, 2, true)] {
        let _send_queue = join(&mut room, id);
        end_membership(&mut room, id as i64, 2);
        assert_eq!(confirm(&mut room, id, 0, version), is_confirmed);
    }
}

#[test]
fn the_end_of_a_membership_stops_a_replay() {
    let mut room = room();
    let send_queue = join(&mut room, 1);
    assert!(confirm(&mut room, 1, 5, 1));
    replay(&room, 1, [4]);
    end_membership(&mut room, 1, 2);
    assert!(!room.replay(1, &frame(5)));
    assert_eq!(room.go_live(1, 5), None);
    assert_eq!(taken(&send_queue), ["4", "ended"]);
}

#[test]
fn changes_beyond_the_buffer_are_read_from_the_store() {
    let (mut room, _other) = live_room(0);
    let send_queue = join(&mut room, 2);
    assert!(confirm(&mut room, 2, 0, 1));
    let large = send_budget().share(Frames::from_text(&"x".repeat(MAX_BUFFERED_BYTES / 2 - 16)));
    for seq in 1..=3 {
        room.on_changes([(seq, large.clone())]);
    }
    assert_eq!(room.go_live(2, 0), Some(3));
    room.on_changes(changes([4]));
    replay(&room, 2, [1, 2, 3]);
    assert_eq!(room.go_live(2, 3), None);
    assert_eq!(taken(&send_queue), ["1", "2", "3", "4"]);
}

#[test]
fn changes_beyond_the_held_limit_are_read_from_the_store() {
    let (mut room, _send_queue) = live_room(0);
    let large = send_budget().share(Frames::from_text(&"x".repeat(MAX_HELD_BYTES / 3 - 16)));
    for seq in [3, 2, 3, 4, 5] {
        room.on_changes([(seq, large.clone())]);
    }
    assert_eq!(room.next_gap(), Some((0, 1)));
    room.backfill(changes([1]).into(), 1);
    assert_eq!(room.next_gap(), Some((4, 5)), "three fit");
    room.on_changes([(7, large)]);
    assert_eq!(room.next_gap(), Some((4, 6)), "there is space again");
}
