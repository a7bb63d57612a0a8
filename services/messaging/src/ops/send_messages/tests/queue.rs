use parlance_core::RoomId;
use parlance_runtime::trace::Span;
use tokio::time::Instant;

use super::*;
use crate::model::Draft;
use crate::streams::Streams;

/// Messages of a sender, numbered from 0.
fn jobs(sender: i64, count: usize) -> Vec<Job> {
    let stream = Streams::default().attach().0;
    let job = |number: usize| Job {
        draft: Draft {
            room_id: RoomId::new(1),
            sender_id: UserId::new(sender),
            sender_name: String::new(),
            key: String::new(),
            content: String::new(),
        },
        stream,
        request_id: number as u64,
        deadline: Instant::now(),
        span: Span::default(),
        result: None,
    };
    (0..count).map(job).collect()
}

async fn take(queue: &JobQueue, max: usize) -> Vec<(i64, u64)> {
    let mut taken = Vec::new();
    queue.take(&mut taken, max).await;
    taken.iter().map(|job| (job.draft.sender_id.get(), job.request_id)).collect()
}

#[tokio::test]
async fn a_batch_takes_from_the_senders_in_turn() {
    let queue = JobQueue::new();
    assert!(queue.push(jobs(1, 1_000)).is_empty());
    assert!(queue.push(jobs(2, 2)).is_empty());
    assert_eq!(take(&queue, 5).await, [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2)]);
    assert_eq!(take(&queue, 2).await, [(1, 3), (1, 4)]);
}

#[tokio::test]
async fn a_sender_who_queues_as_much_as_it_may_leaves_most_places_to_others() {
    let queue = JobQueue::new();
    let refused = queue.push(jobs(1, MAX_QUEUED));
    assert_eq!(refused.len(), MAX_QUEUED - MAX_QUEUED / (FREE_PLACES_PER_SHARE + 1) - 1);
    assert_eq!(refused[0].request_id as usize + refused.len(), MAX_QUEUED, "the later ones");
    assert!(queue.push(jobs(2, 1_000)).is_empty());
    assert_eq!(queue.push(jobs(1, 1)).len(), 1);
}

#[tokio::test]
async fn fifty_senders_who_fill_every_place_leave_some_to_another() {
    let queue = JobQueue::new();
    for _ in 0..50 {
        for sender in 1..=50 {
            queue.push(jobs(sender, 200));
        }
        take(&queue, 400).await;
    }
    assert!(queue.push(jobs(1_000, 100)).is_empty());
    let taken = take(&queue, 51).await;
    assert!(taken.contains(&(1_000, 0)), "its turn comes after one message of each other");
}

#[tokio::test]
async fn a_message_wakes_the_batch_that_waits() {
    let queue = JobQueue::new();
    let later = async {
        tokio::task::yield_now().await;
        queue.push(jobs(1, 1));
    };
    let (taken, ()) = tokio::join!(take(&queue, 10), later);
    assert_eq!(taken, [(1, 0)]);
}
