//! Which task writes the queued frames, in which order, and when a client is shed.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

impl SendQueue {
    /// A queue to a client that accepts nothing until it has read the bytes already sent to it, and
    /// the client.
    pub(crate) async fn to_busy_client(id: u64, send_budget: &SendBudget) -> (Self, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, server) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (client, (server, _)) = (client.unwrap(), server.unwrap());
        server.writable().await.unwrap();
        while server.try_write(&[0; 64 << 10]).is_ok() {}
        (Self::new(id, Some(Arc::new(server)), send_budget), client)
    }

    /// Writes until everything is written that is queued now.
    async fn write_all(&self) {
        let (stream, end) = (self.stream.clone().unwrap(), self.end());
        while self.write(&stream, end).is_err() {
            stream.writable().await.unwrap();
        }
    }

    fn try_control(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_control(&self.stream.clone().unwrap(), bytes)
    }
}

/// A budget with space for this many frames of ten bytes in one queue.
fn budget(frames: usize) -> SendBudget {
    SendBudget::with_limits(frames * (10 + ENTRY_BYTES), 1 << 20)
}

/// A frame of ten bytes, two of which are the header.
fn frame() -> Frames {
    Frames::from_text("12345678")
}

/// The reason of the next wake, and the number of frames queued then.
async fn woken(send_queue: &SendQueue) -> (Wake, usize) {
    (send_queue.wait().await, send_queue.take().len())
}

const SHED: (Wake, usize) = (Wake::Queued(Some(CloseCode::TOO_SLOW)), 0);

#[tokio::test]
async fn a_client_whose_queue_is_full_is_shed() {
    let send_queue = SendQueue::new(1, None, &budget(1));
    send_queue.push(frame());
    assert!(!send_queue.is_shed());
    send_queue.push(Frames::from_text(""));
    assert!(send_queue.is_shed());
    assert_eq!(woken(&send_queue).await, SHED);
}

#[tokio::test]
async fn shedding_wakes_the_task_of_the_connection() {
    let send_queue = SendQueue::new(1, None, &budget(1));
    let shed = async {
        tokio::task::yield_now().await;
        send_queue.shed();
    };
    let ((), woken) = tokio::join!(shed, timeout(Duration::from_secs(5), woken(&send_queue)));
    assert_eq!(woken, Ok(SHED));
}

#[tokio::test]
async fn a_drain_is_notified_once_and_after_the_queued_frames() {
    let send_queue = SendQueue::new(1, None, &budget(2));
    send_queue.notify_drain();
    send_queue.push(frame());
    assert_eq!(woken(&send_queue).await, (Wake::Queued(None), 1));
    assert_eq!(woken(&send_queue).await, (Wake::Draining, 0));
    send_queue.push(frame());
    assert_eq!(woken(&send_queue).await, (Wake::Queued(None), 1));
}

#[tokio::test]
async fn nothing_is_queued_after_a_close() {
    let send_queue = SendQueue::new(1, None, &budget(3));
    send_queue.push(frame());
    send_queue.close(CloseCode::RESTART);
    send_queue.push(frame());
    assert_eq!(woken(&send_queue).await, (Wake::Queued(Some(CloseCode::RESTART)), 1));
}

#[tokio::test]
async fn typing_events_are_dropped_when_the_queue_is_half_full() {
    let send_queue = SendQueue::new(1, None, &budget(3));
    let typing = send_queue.send_budget.share(frame());
    send_queue.push_droppable(&typing);
    send_queue.push(frame());
    send_queue.push_droppable(&typing);
    assert_eq!(woken(&send_queue).await.1, 2);
}

/// Reads this many bytes after the ones with which the client was kept busy.
async fn read(client: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < length {
        let mut chunk = vec![0; 64 << 10];
        let length =
            timeout(Duration::from_secs(5), client.read(&mut chunk)).await.unwrap().unwrap();
        let zeros =
            if read.is_empty() { chunk.iter().take_while(|byte| **byte == 0).count() } else { 0 };
        read.extend_from_slice(&chunk[zeros.min(length)..length]);
    }
    read
}

#[tokio::test]
async fn a_flush_writes_and_leaves_the_rest_to_the_task_of_the_connection() {
    let (send_queue, mut client) =
        SendQueue::to_busy_client(1, &SendBudget::with_limits(1 << 20, 1 << 20)).await;
    send_queue.push(frame());
    send_queue.flush();
    assert_eq!(send_queue.wait().await, Wake::Queued(None), "the client is busy");
    let (received, ()) = tokio::join!(read(&mut client, 10), send_queue.write_all());
    assert_eq!(received, frame().wire.to_vec());

    let frames = ["1", "2", "3"].map(Frames::from_text);
    let needs_flush = frames.each_ref().map(|frame| {
        let shared = send_queue.send_budget.share(frame.clone());
        send_queue.push_unflushed(&shared)
    });
    assert_eq!(needs_flush, [true, false, false], "one flush is enough");
    send_queue.flush();
    let woken = timeout(Duration::from_millis(10), send_queue.wait()).await;
    assert!(woken.is_err(), "nothing is left for the task of the connection");
    let expected = frames.map(|frame| frame.wire.to_vec()).concat();
    assert_eq!(read(&mut client, 9).await, expected);
}

/// A queue with one half-written entry, its client and the entry.
async fn half_written() -> (SendQueue, TcpStream, Frames) {
    let (send_queue, mut client) =
        SendQueue::to_busy_client(1, &SendBudget::with_limits(32 << 20, 32 << 20)).await;
    let long = Frames::from_text(&"x".repeat(16 << 20));
    send_queue.push(long.clone());
    let begin = async {
        while !send_queue.lock().frames.is_inside_entry() {
            // The kernel decides how much has to be read before it accepts more.
            client.read_exact(&mut [0; 4 << 10]).await.unwrap();
            tokio::task::yield_now().await;
            send_queue.flush();
        }
    };
    timeout(Duration::from_secs(5), begin).await.unwrap();
    (send_queue, client, long)
}

#[tokio::test]
async fn a_control_frame_goes_between_a_half_written_entry_and_the_next_one() {
    let (send_queue, mut client, long) = half_written().await;
    let stream = send_queue.stream.clone().unwrap();
    send_queue.push(frame());
    assert_eq!(send_queue.try_control(b"ping").unwrap_err().kind(), ErrorKind::WouldBlock);
    let end = send_queue.end();
    let write = async {
        let (mut is_pinged, mut is_written) = (false, false);
        while !is_pinged || !is_written {
            stream.writable().await.unwrap();
            is_pinged = is_pinged || send_queue.try_control(b"ping").is_ok();
            is_written = send_queue.write(&stream, end).is_ok();
        }
    };
    let expected = [&long.wire, &b"ping"[..], &frame().wire].concat();
    let (read, ()) = tokio::join!(read(&mut client, expected.len()), write);
    assert!(read == expected, "{} bytes instead of {}", read.len(), expected.len());
}

#[tokio::test]
async fn a_waiting_control_frame_wakes_the_task_after_a_flush() {
    let (send_queue, mut client, long) = half_written().await;
    let stream = send_queue.stream.clone().unwrap();
    assert!(send_queue.try_control(b"ping").is_err());
    let write = async {
        while !send_queue.lock().frames.is_empty() {
            stream.writable().await.unwrap();
            send_queue.flush();
        }
        timeout(Duration::from_secs(5), send_queue.wait()).await
    };
    let (_, woken) = tokio::join!(read(&mut client, long.len()), write);
    assert_eq!(woken, Ok(Wake::Queued(None)));
}

#[tokio::test]
async fn shedding_keeps_the_rest_of_a_half_written_entry() {
    let (send_queue, mut client, long) = half_written().await;
    send_queue.push(frame());
    send_queue.shed();
    let (read, ()) = tokio::join!(read(&mut client, long.len()), send_queue.write_all());
    assert!(read == long.wire.to_vec(), "{} bytes instead of {}", read.len(), long.len());
    assert_eq!(woken(&send_queue).await, SHED);
}

#[tokio::test]
async fn entries_wait_for_the_rest_of_a_control_frame() {
    let (send_queue, mut client) =
        SendQueue::to_busy_client(1, &SendBudget::with_limits(1 << 20, 1 << 20)).await;
    let stream = send_queue.stream.clone().unwrap();
    assert!(send_queue.try_control(b"ping").is_err());
    send_queue.push(frame());
    let write = async {
        stream.writable().await.unwrap();
        send_queue.flush();
        assert_eq!(send_queue.end(), 1, "the control frame goes first");
        assert!(send_queue.write(&stream, 1).is_err());
        assert_eq!(send_queue.try_control(b"ping").unwrap(), 4);
        send_queue.flush();
        assert!(send_queue.take().is_empty());
    };
    let (read, ()) = tokio::join!(read(&mut client, 14), write);
    assert_eq!(read, [&b"ping"[..], &frame().wire].concat());
}

#[tokio::test]
async fn a_written_queue_has_space() {
    let (send_queue, mut client) = SendQueue::to_busy_client(1, &budget(3)).await;
    let stream = send_queue.stream.clone().unwrap();
    send_queue.push(frame());
    send_queue.flush();
    assert!(!send_queue.is_mostly_empty());
    let write = async {
        stream.writable().await.unwrap();
        send_queue.flush();
    };
    let has_space = timeout(Duration::from_secs(5), send_queue.has_space());
    let (_, (), has_space) = tokio::join!(read(&mut client, 10), write, has_space);
    assert_eq!(has_space, Ok(()));
}

#[tokio::test]
async fn an_unfinished_message_counts_like_queued_frames() {
    let send_queue = SendQueue::new(1, None, &budget(10));
    let before = Instant::now() - Duration::from_secs(1);
    send_queue.set_unfinished(100);
    send_queue.set_unfinished(200);
    let stalled = [before, Instant::now()].map(|since| send_queue.stalled_bytes(since));
    assert_eq!((stalled, send_queue.send_budget.bytes()), ([0, 200], 200));
    send_queue.set_unfinished(0);
    let stalled = send_queue.stalled_bytes(Instant::now());
    assert_eq!((stalled, send_queue.send_budget.bytes()), (0, 0));

    send_queue.set_unfinished(10 * (10 + ENTRY_BYTES) - 1);
    send_queue.push(frame());
    assert!(send_queue.is_shed(), "the queue and the message have one bound");
}
