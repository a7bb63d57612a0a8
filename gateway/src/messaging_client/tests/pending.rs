use std::sync::Arc;

use opentelemetry::global;
use parlance_core::UserId;
use parlance_proto::messaging::{Message, Send, Sent, Typing};
use tokio::sync::{Semaphore, oneshot};

use super::*;
use crate::limits::{UserShare, UserShares};
use crate::messaging_client::request_queue::{self, RequestReader};

type Answers = oneshot::Receiver<Result<Outcome, ErrorCode>>;

const ROOM: RoomId = RoomId::new(1);

fn open_with(
    pending: &mut PendingRequests,
    id: u64,
    key: Option<OrderingKey>,
    permit: Option<InFlightPermit>,
) -> Answers {
    let (caller, answer) = oneshot::channel();
    let message = StreamMessage::Typing(Typing { request_id: id, ..Typing::default() });
    pending.open(id, message, key, Reply::Caller(caller), permit);
    answer
}

/// Makes a request with this id.
fn open(pending: &mut PendingRequests, id: u64, key: Option<OrderingKey>) -> Answers {
    open_with(pending, id, key, None)
}

/// Returns the code with which a request is refused, if it is.
fn refusal(mut answer: Answers) -> Option<ErrorCode> {
    answer.try_recv().ok().map(|answer| answer.unwrap_err())
}

fn share(user_id: i64) -> Arc<UserShare> {
    let refused = global::meter("test").u64_counter("refused").build();
    UserShares::new(1_000, refused).of(UserId::new(user_id))
}

/// Attaches a stream whose queue holds one message.
fn attach(pending: &mut PendingRequests, port: u16) -> (StreamId, RequestReader) {
    let (queue, reader) = request_queue::new(1);
    let id = StreamId { address: ([127, 0, 0, 1], port).into(), epoch: 1 };
    pending.add_stream(id, queue);
    (id, reader)
}

fn next(sent: &RequestReader) -> Option<u64> {
    Some(sent.take()?.typings.first()?.request_id)
}

fn answer(request_id: u64, outcome: Outcome) -> Vec<Answer> {
    vec![Answer { request_id, outcome: Some(outcome) }]
}

#[test]
fn requests_beyond_the_limit_are_refused_until_others_are_answered() {
    let mut pending = PendingRequests::default();
    let limit = MAX_PENDING as u64;
    let mut answers: Vec<Answers> = (0..limit).map(|id| open(&mut pending, id, None)).collect();
    assert_eq!(refusal(open(&mut pending, limit, None)), Some(ErrorCode::Unavailable));
    assert!(answers.iter_mut().all(|answer| answer.try_recv().is_err()));
    pending.expire(Instant::now() + REQUEST_TIMEOUT);
    for answer in &mut answers {
        assert_eq!(answer.try_recv(), Ok(Err(ErrorCode::Unavailable)));
    }
    assert_eq!(refusal(open(&mut pending, limit, None)), None);
}

#[test]
fn a_user_with_too_many_requests_is_refused_alone() {
    let mut pending = PendingRequests::with_limit(100);
    let (ann, ben) = (share(1), share(2));
    let mut ids = 1..;
    let mut ask = |share: &Arc<UserShare>| {
        let permit = share.try_begin();
        refusal(open_with(&mut pending, ids.next().unwrap(), None, permit))
    };
    let refusals: Vec<_> = (0..100).map(|_| ask(&ann)).collect();
    // A fifth of all: four times as much is free.
    assert!(refusals[..20].iter().all(Option::is_none));
    assert!(refusals[21..].iter().all(|&refusal| refusal == Some(ErrorCode::RateLimited)));
    assert_eq!(ask(&ben), None);
}

#[test]
fn a_permit_lasts_until_the_answer() {
    let mut pending = PendingRequests::default();
    let ann = share(1);
    let _answer = open_with(&mut pending, 1, None, ann.try_begin());
    let _late = open_with(&mut pending, 2, None, ann.try_begin());
    let in_flight = || ann.try_begin().unwrap().in_flight() - 1;
    assert_eq!(in_flight(), 2);
    pending.resolve(answer(1, Outcome::Error("not_a_member".to_owned())));
    assert_eq!(in_flight(), 1);
    pending.expire(Instant::now() + REQUEST_TIMEOUT);
    assert_eq!(in_flight(), 0);
}

#[test]
fn renewals_take_no_places_of_other_requests() {
    let mut pending = PendingRequests::with_limit(10);
    let permits = Arc::new(Semaphore::new(100));
    for id in 1..=100 {
        let permit = permits.clone().try_acquire_owned().unwrap();
        let message = StreamMessage::Subscribe(Default::default());
        let reply = Reply::Renewal(ROOM, UserId::new(1), permit);
        pending.open(id, message, None, reply, None);
    }
    for id in 101..=110 {
        assert_eq!(refusal(open(&mut pending, id, None)), None);
    }
    assert_eq!(refusal(open(&mut pending, 111, None)), Some(ErrorCode::Unavailable));
    let renewals = pending.expire(Instant::now() + REQUEST_TIMEOUT);
    assert_eq!((renewals.len(), permits.available_permits()), (100, 0));
    drop(renewals);
    assert_eq!((pending.renewals, permits.available_permits()), (0, 100));
}

#[test]
fn sends_of_a_connection_to_a_room_do_not_overtake_one_that_waits() {
    let mut pending = PendingRequests::default();
    let (_, sent) = attach(&mut pending, 1);
    let key = Some((1, ROOM));
    let _first = open(&mut pending, 1, key);
    let _second = open(&mut pending, 2, key);
    assert_eq!(next(&sent), Some(1));
    let _third = open(&mut pending, 3, key);
    for id in [2, 3] {
        pending.expire(Instant::now());
        assert_eq!(next(&sent), Some(id));
    }
}

#[test]
fn requests_of_a_lost_stream_are_sent_on_another_one() {
    let mut pending = PendingRequests::default();
    let (lost, first) = attach(&mut pending, 1);
    let _answer = open(&mut pending, 1, Some((1, ROOM)));
    let (_, second) = attach(&mut pending, 2);
    assert_eq!((next(&first), next(&second)), (Some(1), None));
    pending.remove_stream(lost);
    assert_eq!(next(&second), Some(1));
}

#[test]
fn a_repeated_request_that_finds_no_place_has_an_unknown_outcome() {
    let rate_limited = || Outcome::Error("rate_limited".to_owned());
    let mut pending = PendingRequests::default();
    let (lost, _) = attach(&mut pending, 1);
    let repeated = open(&mut pending, 1, None);
    pending.remove_stream(lost);
    let fresh = open(&mut pending, 2, None);
    pending.resolve([answer(1, rate_limited()), answer(2, rate_limited())].concat());
    assert_eq!(refusal(repeated), Some(ErrorCode::Unavailable));
    assert_eq!(refusal(fresh), Some(ErrorCode::RateLimited));
}

#[test]
fn a_message_stored_by_the_first_attempt_is_new_to_the_client() {
    let send = |pending: &mut PendingRequests, id| {
        let (caller, answer) = oneshot::channel();
        let send = Send { request_id: id, content: "mine".to_owned(), ..Send::default() };
        pending.open(id, StreamMessage::Send(send), None, Reply::Caller(caller), None);
        answer
    };
    let stored = |content: &str| {
        let message = Message { content: content.to_owned(), ..Message::default() };
        Outcome::Sent(Sent { message: Some(message), duplicate: true })
    };
    let is_duplicate = |mut answer: Answers| match answer.try_recv().unwrap().unwrap() {
        Outcome::Sent(sent) => sent.duplicate,
        _ => unreachable!(),
    };
    let mut pending = PendingRequests::default();
    let (lost, _first) = attach(&mut pending, 1);
    let (own, earlier) = (send(&mut pending, 1), send(&mut pending, 2));
    pending.remove_stream(lost);
    let fresh = send(&mut pending, 3);
    pending.resolve(answer(1, stored("mine")));
    pending.resolve(answer(2, stored("of an earlier request")));
    pending.resolve(answer(3, stored("mine")));
    assert!(!is_duplicate(own));
    assert!(is_duplicate(earlier));
    assert!(is_duplicate(fresh));
}
