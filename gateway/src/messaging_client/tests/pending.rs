use parlance_proto::messaging::Typing;
use tokio::sync::oneshot;

use super::*;

type Answers = oneshot::Receiver<Result<Outcome, ErrorCode>>;

/// Makes a request with this id; none if it is refused.
fn open(pending: &mut PendingRequests, id: u64, key: Option<OrderingKey>) -> Option<Answers> {
    let (caller, answer) = oneshot::channel();
    let message = StreamMessage::Typing(Typing { request_id: id, ..Typing::default() });
    pending.open(id, message, key, Reply::Caller(caller)).ok().map(|()| answer)
}

/// Attaches a stream whose queue holds one message.
fn attach(pending: &mut PendingRequests, port: u16) -> (StreamId, mpsc::Receiver<StreamMessage>) {
    let (queue, sent) = mpsc::channel(1);
    let id = StreamId { address: ([127, 0, 0, 1], port).into(), epoch: 1 };
    pending.add_stream(id, queue);
    (id, sent)
}

fn next(sent: &mut mpsc::Receiver<StreamMessage>) -> Option<u64> {
    match sent.try_recv() {
        Ok(StreamMessage::Typing(typing)) => Some(typing.request_id),
        _ => None,
    }
}

#[test]
fn requests_beyond_the_limit_are_refused_until_others_are_answered() {
    let mut pending = PendingRequests::default();
    let limit = MAX_PENDING as u64;
    let mut answers: Vec<Answers> =
        (0..limit).filter_map(|id| open(&mut pending, id, None)).collect();
    assert_eq!(answers.len(), MAX_PENDING);
    assert!(open(&mut pending, limit, None).is_none());
    pending.expire(Instant::now() + REQUEST_TIMEOUT);
    for answer in &mut answers {
        assert_eq!(answer.try_recv(), Ok(Err(ErrorCode::Unavailable)));
    }
    assert!(open(&mut pending, limit, None).is_some());
}

#[test]
fn sends_of_a_connection_to_a_room_do_not_overtake_one_that_waits() {
    let mut pending = PendingRequests::default();
    let (_, mut sent) = attach(&mut pending, 1);
    let key = Some((1, RoomId::new(1)));
    let _first = open(&mut pending, 1, key);
    let _second = open(&mut pending, 2, key);
    assert_eq!(next(&mut sent), Some(1));
    let _third = open(&mut pending, 3, key);
    for id in [2, 3] {
        pending.expire(Instant::now());
        assert_eq!(next(&mut sent), Some(id));
    }
}

#[test]
fn requests_of_a_lost_stream_are_sent_on_another_one() {
    let mut pending = PendingRequests::default();
    let (lost, mut first) = attach(&mut pending, 1);
    let _answer = open(&mut pending, 1, Some((1, RoomId::new(1))));
    let (_, mut second) = attach(&mut pending, 2);
    assert_eq!((next(&mut first), next(&mut second)), (Some(1), None));
    pending.remove_stream(lost);
    assert_eq!(next(&mut second), Some(1));
}
