use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;

const LIMITS: HashLimits = HashLimits { running: 1, waiting: 8, waiting_per_client: 5 };

type Waiting = BoxFuture<'static, Result<Turn, Refusal>>;

fn client(number: u8) -> ClientNetwork {
    ClientNetwork::from_address(&format!("192.0.2.{number}"))
}

/// Asks for a turn and waits, unless it comes at once.
fn ask(queue: &HashQueue, number: u8) -> Waiting {
    let queue = queue.clone();
    let mut turn = async move { queue.turn(client(number)).await }.boxed();
    assert!(turn.as_mut().now_or_never().is_none(), "the caller waits");
    turn
}

fn take(queue: &HashQueue, number: u8) -> Turn {
    queue.turn(client(number)).now_or_never().expect("a thread is free").ok().unwrap()
}

fn refusal(queue: &HashQueue, number: u8) -> Full {
    let result = queue.turn(client(number)).now_or_never().expect("nobody waits in vain");
    result.err().expect("the caller is refused").full
}

/// Ends the current turn. Returns the next one and the number of its client.
fn next(current: Turn, waiting: &mut Vec<(u8, Waiting)>) -> (u8, Turn) {
    drop(current);
    let mut polled = waiting.iter_mut().map(|(_, turn)| turn.as_mut().now_or_never()).enumerate();
    let served = polled.find_map(|(place, result)| Some((place, result?)));
    let (place, turn) = served.expect("somebody is next");
    let (number, _) = waiting.remove(place);
    (number, turn.ok().unwrap())
}

#[test]
fn a_flood_from_one_address_costs_another_the_hash_in_progress() {
    let queue = HashQueue::new(LIMITS);
    let mut waiting = Vec::new();
    let first = take(&queue, 1);
    waiting.extend([1; 5].map(|number| (number, ask(&queue, number))));
    let (_, mut current) = next(first, &mut waiting);
    waiting.extend([2, 2].map(|number| (number, ask(&queue, number))));
    let mut order = Vec::new();
    while !waiting.is_empty() {
        let (number, turn) = next(current, &mut waiting);
        order.push(number);
        current = turn;
    }
    assert_eq!(order, [2, 1, 2, 1, 1, 1]);
    assert_eq!(queue.load(), (1, 0));
    drop(current);
    assert_eq!(queue.load(), (0, 0));
}

#[test]
fn as_many_run_as_there_are_threads() {
    let queue = HashQueue::new(HashLimits { running: 2, ..LIMITS });
    let (first, second) = (take(&queue, 1), take(&queue, 1));
    let mut waiting = vec![(1, ask(&queue, 1))];
    assert_eq!(queue.load(), (2, 1));
    let (_, third) = next(first, &mut waiting);
    assert_eq!(queue.load(), (2, 0));
    drop((second, third));
    assert_eq!(queue.load(), (0, 0));
}

#[test]
fn a_full_share_refuses_only_its_owner() {
    let queue = HashQueue::new(LIMITS);
    let _current = take(&queue, 1);
    let _flood = [1; 5].map(|number| ask(&queue, number));
    assert_eq!(refusal(&queue, 1), Full::Key);
    let _other = ask(&queue, 2);
}

#[test]
fn in_a_full_queue_the_address_with_the_most_waiting_makes_room() {
    let queue = HashQueue::new(LIMITS);
    let _current = take(&queue, 1);
    let mut flood = [1; 5].map(|number| ask(&queue, number));
    let _others = [2, 2, 3].map(|number| ask(&queue, number));
    let _newcomer = ask(&queue, 4);
    let displaced = flood[4].as_mut().now_or_never().expect("the newest is refused");
    assert_eq!(displaced.err().unwrap(), Refusal { full: Full::Queue, waiting: 8 });
    assert!(flood[3].as_mut().now_or_never().is_none());
    assert_eq!(refusal(&queue, 1), Full::Queue);
    assert_eq!(queue.load(), (1, 8));
}

#[test]
fn callers_that_have_gone_leave_the_queue_and_get_no_turn() {
    let queue = HashQueue::new(LIMITS);
    let current = take(&queue, 1);
    let flood = [1; 5].map(|number| ask(&queue, number));
    let mut waiting = vec![(1, ask(&queue, 2)), (3, ask(&queue, 3))];
    drop(waiting.remove(0));
    drop(flood);
    assert_eq!(queue.load(), (1, 1));
    assert_eq!(next(current, &mut waiting).0, 3);
    assert_eq!(queue.load(), (0, 0));
}

#[test]
fn a_turn_that_its_caller_does_not_take_goes_to_the_next() {
    let queue = HashQueue::new(LIMITS);
    let current = take(&queue, 1);
    let (gone, mut other) = (ask(&queue, 2), ask(&queue, 3));
    drop(current);
    drop(gone);
    assert!(other.as_mut().now_or_never().expect("it is the next").is_ok());
    assert_eq!(queue.load(), (0, 0));
}

#[test]
fn without_places_a_caller_gets_a_free_thread_or_nothing() {
    let queue = HashQueue::new(HashLimits { waiting: 0, ..LIMITS });
    let current = take(&queue, 1);
    assert_eq!(refusal(&queue, 2), Full::Queue);
    drop(current);
    take(&queue, 2);
}
