use parlance_core::RoomId;
use parlance_proto::messaging::{Subscribe, Typing};

use super::*;

fn send(sender_id: i64, request_id: u64) -> StreamMessage {
    StreamMessage::Send(Send { sender_id, request_id, ..Send::default() })
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(2)
}

fn senders(batch: &AttachRequest) -> Vec<i64> {
    batch.sends.iter().map(|send| send.sender_id).collect()
}

#[test]
fn messages_leave_in_turn_by_sender_and_keep_the_order_of_each() {
    let (queue, reader) = new(1_000);
    for id in 0..500 {
        assert!(queue.push(send(1, id), later()));
    }
    for id in 500..502 {
        assert!(queue.push(send(2, id), later()));
    }
    let batch = reader.take().unwrap();
    assert_eq!(senders(&batch)[..6], [1, 2, 1, 2, 1, 1]);
    assert_eq!(batch.sends.len(), MAX_BATCH);
    let rest = reader.take().unwrap();
    let sends = batch.sends.iter().chain(&rest.sends).filter(|send| send.sender_id == 1);
    assert!(sends.map(|send| send.request_id).eq(0..500));
    assert!(reader.take().is_none());
}

#[test]
fn an_expired_message_is_not_sent() {
    let (queue, reader) = new(10);
    queue.push(send(1, 1), Instant::now());
    assert!(reader.take().is_none());
    queue.push(send(1, 2), Instant::now());
    queue.push(send(1, 3), later());
    assert_eq!(reader.take().unwrap().sends[0].request_id, 3);
}

#[test]
fn a_message_carries_the_time_at_which_it_expires() {
    let (queue, reader) = new(10);
    let expires_at = reader.opened_at + Duration::from_secs(100);
    queue.push(send(1, 1), expires_at);
    let batch = reader.take().unwrap();
    assert_eq!(batch.sends[0].deadline_us, 100_000_000);
    assert!(batch.sent_at_us < 100_000_000, "{}", batch.sent_at_us);
}

#[test]
fn long_messages_leave_in_smaller_batches() {
    let (queue, reader) = new(1_000);
    for _ in 0..200 {
        let content = "x".repeat(16_384);
        let send = Send { content, sender_id: 1, ..Send::default() };
        queue.push(StreamMessage::Send(send), later());
    }
    assert_eq!(reader.take().unwrap().sends.len(), MAX_BATCH_BYTES / 16_384);
}

#[test]
fn everything_else_keeps_its_order() {
    let (queue, reader) = new(10);
    let subscribe =
        |request_id| StreamMessage::Subscribe(Subscribe { request_id, ..Default::default() });
    let typing = StreamMessage::Typing(Typing::default());
    for message in [subscribe(1), typing, subscribe(2), StreamMessage::Release(RoomId::new(1))] {
        assert!(queue.push(message, later()));
    }
    let (first, second) = (reader.take().unwrap(), reader.take().unwrap());
    assert_eq!((first.subscribes.len(), first.typings.len()), (1, 1));
    assert_eq!((second.subscribes.len(), second.released_room_ids.len()), (1, 1));
    assert_eq!(second.subscribes[0].request_id, 2);
}

#[test]
fn a_full_queue_refuses_messages() {
    let (queue, _reader) = new(1);
    assert!(queue.push(send(1, 1), later()) && !queue.push(send(2, 2), later()));
    let release = || StreamMessage::Release(RoomId::new(1));
    assert!(queue.push(release(), later()) && !queue.push(release(), later()));
}

#[tokio::test]
async fn a_message_wakes_the_stream_and_the_end_of_the_queue_ends_it() {
    let (queue, reader) = new(10);
    let reading = async { (reader.next().await, reader.next().await) };
    let writing = async {
        tokio::task::yield_now().await;
        queue.push(send(1, 1), later());
        tokio::task::yield_now().await;
        drop(queue);
    };
    let ((batch, end), ()) = tokio::join!(reading, writing);
    assert_eq!(batch.map(|batch| batch.sends.len()), Some(1));
    assert!(end.is_none());
}
