use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::*;
use crate::ws::frames::Frames;
use crate::ws::queued_frames::ENTRY_BYTES;
use crate::ws::send_budget::SHARED_BYTES;

/// Queues to clients that do not read, and the clients.
type Connections = Vec<(SendQueue, TcpStream)>;

/// Connections with one frame of these lengths each.
async fn connections(send_budget: &SendBudget, lengths: &[usize]) -> Connections {
    let mut connections = Vec::new();
    for (id, &length) in (0..).zip(lengths) {
        let (send_queue, client) = SendQueue::to_busy_client(id, send_budget).await;
        send_queue.push(frame(length));
        connections.push((send_queue, client));
    }
    connections
}

/// A frame of this many bytes, header included.
fn frame(length: usize) -> Frames {
    Frames { wire: "x".repeat(length).into() }
}

/// Sheds slow consumers and returns which of the connections are closed.
fn shed(send_budget: &SendBudget, connections: &Connections, since: Instant) -> Vec<bool> {
    let queues = connections.iter().map(|(send_queue, _)| send_queue);
    shed_slow_consumers(send_budget, queues.clone(), since);
    queues.map(SendQueue::is_shed).collect()
}

#[tokio::test]
async fn a_shared_frame_counts_once_until_the_last_queue_drops_it() {
    let send_budget = SendBudget::with_limits(1 << 20, 1 << 20);
    let queues = [1, 2].map(|id| SendQueue::new(id, None, &send_budget));
    let shared = send_budget.share(frame(1_000));
    queues.iter().for_each(|send_queue| send_queue.push_shared(&shared));
    drop(shared);
    assert_eq!(send_budget.bytes(), 1_000 + SHARED_BYTES + 2 * ENTRY_BYTES);

    let [first, second] = queues;
    drop(first.take());
    assert_eq!(send_budget.bytes(), 1_000 + SHARED_BYTES + ENTRY_BYTES);
    second.shed();
    assert_eq!(send_budget.bytes(), 0);
}

#[tokio::test]
async fn an_own_frame_counts_in_each_queue_until_it_is_written() {
    let send_budget = SendBudget::with_limits(1 << 20, 1 << 20);
    let mut connections = connections(&send_budget, &[100, 200]).await;
    connections[0].0.flush();
    assert_eq!(send_budget.bytes(), 300 + 2 * ENTRY_BYTES, "nothing is written yet");
    while send_budget.bytes() == 300 + 2 * ENTRY_BYTES {
        connections[0].1.read_exact(&mut [0; 1_000]).await.unwrap();
        connections[0].0.flush();
    }
    assert_eq!(send_budget.bytes(), 200 + ENTRY_BYTES);
    drop(connections);
    assert_eq!(send_budget.bytes(), 0);
}

#[tokio::test]
async fn beyond_the_budget_the_stalled_clients_with_the_longest_queues_are_shed() {
    let send_budget = SendBudget::with_limits(32_000, 40_000);
    let begin = Instant::now();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let lengths = [20_000, 11_000, 9_000, 30_000, 100];
    let connections = connections(&send_budget, &lengths).await;
    for stalled in [0, 1, 2, 4] {
        connections[stalled].0.flush();
    }
    assert_eq!(shed(&send_budget, &connections, begin), [false; 5], "none is slow yet");
    let is_shed = shed(&send_budget, &connections, Instant::now());
    assert_eq!(is_shed, [true, true, false, false, false]);
}

#[tokio::test]
async fn clients_that_read_or_have_short_queues_are_not_shed() {
    let send_budget = SendBudget::with_limits(32_000, 40_000);
    let short = 32_000 / 16 - ENTRY_BYTES;
    let mut connections = connections(&send_budget, &[short, 25_000, 25_000]).await;
    connections[0].0.flush();
    connections[1].0.flush();
    let flushed_at = Instant::now();
    let (send_queue, client) = &mut connections[1];
    while send_queue.stalled_bytes(flushed_at) > 0 {
        client.read_exact(&mut [0; 1_000]).await.unwrap();
        send_queue.flush();
    }
    send_queue.push(frame(25_000));
    assert_eq!(shed(&send_budget, &connections, flushed_at), [false; 3]);
}

#[tokio::test]
async fn within_the_budget_no_client_is_shed() {
    let send_budget = SendBudget::with_limits(32_000, 100_000);
    let connections = connections(&send_budget, &[30_000, 30_000]).await;
    connections[0].0.flush();
    assert_eq!(shed(&send_budget, &connections, Instant::now()), [false, false]);
}
