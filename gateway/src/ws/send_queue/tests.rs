//! What is queued for a client, by whom it is written, and who is cut.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

impl SendQueue {
    /// A queue for a client, which is given back, that takes nothing until it has read what is on
    /// its way.
    pub(crate) async fn to_busy_client(id: u64, send_budget: &SendBudget) -> (Self, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, server) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (client, (server, _)) = (client.unwrap(), server.unwrap());
        server.writable().await.unwrap();
        while server.try_write(&[0; 64 << 10]).is_ok() {}
        (Self::new(id, Some(Arc::new(server)), send_budget), client)
    }
}

/// A queue with space for so many frames of ten bytes.
fn queue_of(frames: usize) -> SendQueue {
    SendQueue::new(1, None, &SendBudget::of(frames * (10 + ENTRY_BYTES), 1 << 20))
}

/// Ten bytes, two of which are the header.
fn frame() -> Frames {
    Frames::of_text("12345678")
}

/// What the task of the connection is woken up for, and how many frames are queued then.
async fn woken(send_queue: &SendQueue) -> (Wake, usize) {
    (send_queue.wake().await, send_queue.take().len())
}

const TOO_SLOW: (Wake, usize) = (Wake::Queued(Some(CloseCode::TOO_SLOW)), 0);

#[tokio::test]
async fn what_does_not_fit_cuts_the_connection() {
    let send_queue = queue_of(1);
    send_queue.push(frame());
    assert!(!send_queue.is_cut());
    send_queue.push(Frames::of_text(""));
    assert!(send_queue.is_cut());
    assert_eq!(woken(&send_queue).await, TOO_SLOW);
}

#[tokio::test]
async fn who_waits_for_frames_hears_of_the_cut() {
    let send_queue = queue_of(1);
    let ((), woken) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            send_queue.cut_off();
        },
        timeout(Duration::from_secs(5), woken(&send_queue)),
    );
    assert_eq!(woken, Ok(TOO_SLOW));
}

#[tokio::test]
async fn draining_is_told_once_and_behind_what_was_queued() {
    let send_queue = queue_of(2);
    send_queue.drain();
    send_queue.push(frame());
    assert_eq!(woken(&send_queue).await, (Wake::Queued(None), 1));
    assert_eq!(woken(&send_queue).await, (Wake::Draining, 0));
    send_queue.push(frame());
    assert_eq!(woken(&send_queue).await, (Wake::Queued(None), 1));
}

#[tokio::test]
async fn a_close_comes_behind_what_was_queued() {
    let send_queue = queue_of(3);
    send_queue.push(frame());
    send_queue.close(CloseCode::RESTART);
    send_queue.push(frame());
    assert_eq!(woken(&send_queue).await, (Wake::Queued(Some(CloseCode::RESTART)), 1));
}

#[tokio::test]
async fn signs_of_typing_are_left_out_first() {
    let send_queue = queue_of(3);
    let typing = send_queue.send_budget.share(frame());
    send_queue.push_unless_busy(&typing);
    send_queue.push(frame());
    send_queue.push_unless_busy(&typing);
    assert_eq!(woken(&send_queue).await.1, 2);
}

/// Reads up to this many bytes behind what was on its way.
async fn read(client: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < length {
        let mut chunk = vec![0; 64 << 10];
        let length =
            timeout(Duration::from_secs(5), client.read(&mut chunk)).await.unwrap().unwrap();
        let filler =
            if read.is_empty() { chunk.iter().take_while(|byte| **byte == 0).count() } else { 0 };
        read.extend_from_slice(&chunk[filler.min(length)..length]);
    }
    read
}

#[tokio::test]
async fn whoever_queues_writes_what_goes_at_once_and_the_task_of_the_connection_the_rest() {
    let (send_queue, mut client) =
        SendQueue::to_busy_client(1, &SendBudget::of(1 << 20, 1 << 20)).await;
    let stream = send_queue.stream.clone().unwrap();
    send_queue.push(frame());
    send_queue.flush();
    assert_eq!(send_queue.wake().await, Wake::Queued(None), "it waits for the client");
    let end = send_queue.end();
    let writing = async {
        while send_queue.write(&stream, end).is_err() {
            stream.writable().await.unwrap();
        }
    };
    let (read_late, ()) = tokio::join!(read(&mut client, 10), writing);
    assert_eq!(read_late, frame().wire().to_vec());

    let texts = ["1", "2", "3"];
    let queued = texts.map(Frames::of_text).map(|frames| send_queue.send_budget.share(frames));
    let are_to_be_flushed = queued.each_ref().map(|frames| send_queue.push_for_delivery(frames));
    assert_eq!(are_to_be_flushed, [true, false, false], "once is enough");
    send_queue.flush();
    let woken = timeout(Duration::from_millis(10), send_queue.wake()).await;
    assert!(woken.is_err(), "nothing is left for the task of the connection");
    assert_eq!(
        read(&mut client, 9).await,
        texts.map(|text| Frames::of_text(text).wire().to_vec()).concat()
    );
}

/// A queue whose only entry, which comes back, is half written.
async fn half_written() -> (SendQueue, TcpStream, Frames) {
    let (send_queue, mut client) =
        SendQueue::to_busy_client(1, &SendBudget::of(32 << 20, 32 << 20)).await;
    let long = Frames::of_text(&"x".repeat(16 << 20));
    send_queue.push(long.clone());
    let begun = async {
        while send_queue.lock().written_of_first == 0 {
            // How much has to be read before there is space again is for the system to say.
            client.read_exact(&mut [0; 4 << 10]).await.unwrap();
            tokio::task::yield_now().await;
            send_queue.flush();
        }
    };
    timeout(Duration::from_secs(5), begun).await.unwrap();
    (send_queue, client, long)
}

#[tokio::test]
async fn a_control_frame_comes_behind_what_is_half_written_and_before_what_is_not() {
    let (send_queue, mut client, long) = half_written().await;
    let stream = send_queue.stream.clone().unwrap();
    send_queue.push(frame());
    assert_eq!(
        send_queue.write_control(&stream, b"ping").unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    let end = send_queue.end();
    let writing = async {
        let (mut is_pinged, mut is_written) = (false, false);
        while !is_pinged || !is_written {
            stream.writable().await.unwrap();
            is_pinged = is_pinged || send_queue.write_control(&stream, b"ping").is_ok();
            is_written = send_queue.write(&stream, end).is_ok();
        }
    };
    let expected = [long.wire(), &b"ping"[..], frame().wire()].concat();
    let (read, ()) = tokio::join!(read(&mut client, expected.len()), writing);
    assert!(read == expected, "{} bytes, and not {}", read.len(), expected.len());
}

#[tokio::test]
async fn a_control_frame_that_had_to_wait_is_not_forgotten() {
    let (send_queue, mut client, long) = half_written().await;
    let stream = send_queue.stream.clone().unwrap();
    assert!(send_queue.write_control(&stream, b"ping").is_err());
    let writing = async {
        while !send_queue.lock().entries.is_empty() {
            stream.writable().await.unwrap();
            send_queue.flush();
        }
        timeout(Duration::from_secs(5), send_queue.wake()).await
    };
    let (_, woken) = tokio::join!(read(&mut client, long.len()), writing);
    assert_eq!(woken, Ok(Wake::Queued(None)));
}

#[tokio::test]
async fn a_cut_leaves_the_rest_of_what_is_half_written() {
    let (send_queue, mut client, long) = half_written().await;
    let stream = send_queue.stream.clone().unwrap();
    send_queue.push(frame());
    send_queue.cut_off();
    let end = send_queue.end();
    let writing = async {
        while send_queue.write(&stream, end).is_err() {
            stream.writable().await.unwrap();
        }
    };
    let (read, ()) = tokio::join!(read(&mut client, long.len()), writing);
    assert!(read == long.wire().to_vec(), "{} bytes, and not {}", read.len(), long.len());
    assert_eq!(woken(&send_queue).await, TOO_SLOW);
}

#[tokio::test]
async fn what_is_queued_waits_for_the_rest_of_a_control_frame() {
    let (send_queue, mut client) =
        SendQueue::to_busy_client(1, &SendBudget::of(1 << 20, 1 << 20)).await;
    let stream = send_queue.stream.clone().unwrap();
    assert!(send_queue.write_control(&stream, b"ping").is_err());
    send_queue.push(frame());
    let drained = async {
        stream.writable().await.unwrap();
        send_queue.flush();
        assert_eq!(send_queue.end(), 1, "the control frame comes first");
        assert!(send_queue.write(&stream, 1).is_err());
        assert_eq!(send_queue.write_control(&stream, b"ping").unwrap(), 4);
        send_queue.flush();
        assert!(send_queue.take().is_empty());
    };
    let (read, ()) = tokio::join!(read(&mut client, 14), drained);
    assert_eq!(read, [&b"ping"[..], frame().wire()].concat());
}

#[tokio::test]
async fn there_is_space_once_the_queue_was_written() {
    let (send_queue, mut client) =
        SendQueue::to_busy_client(1, &SendBudget::of(3 * (10 + ENTRY_BYTES), 1 << 20)).await;
    let stream = send_queue.stream.clone().unwrap();
    send_queue.push(frame());
    send_queue.flush();
    assert!(!send_queue.is_mostly_empty());
    let writing = async {
        stream.writable().await.unwrap();
        send_queue.flush();
    };
    let has_space = timeout(Duration::from_secs(5), send_queue.has_space());
    let (_, (), has_space) = tokio::join!(read(&mut client, 10), writing, has_space);
    assert_eq!(has_space, Ok(()));
}
