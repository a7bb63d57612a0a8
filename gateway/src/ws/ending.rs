//! Ends a connection so that the client receives all that was written to it.

use std::io::{self, ErrorKind};

use rustix::net::Shutdown;
use tokio::net::TcpStream;

/// The bytes that are discarded at most: a message of 2 MiB that is being refused, and some more.
const MAX_DISCARDED_BYTES: usize = (2 << 20) + (64 << 10);

/// Ends the server's side of a connection, waits for the end of the client's side and discards what
/// arrives before it, up to [`MAX_DISCARDED_BYTES`]. Closing a socket with unread bytes resets the
/// connection, and the client may then never see the close frame. The caller bounds the time.
pub(super) async fn end(stream: &TcpStream) {
    if rustix::net::shutdown(stream, Shutdown::Write).is_ok() {
        discard(stream).await;
    }
}

async fn discard(stream: &TcpStream) {
    let mut discarded = 0;
    while discarded < MAX_DISCARDED_BYTES && stream.readable().await.is_ok() {
        match read_once(stream) {
            Ok(0) => return,
            Ok(bytes) => discarded += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Reads without waiting. Not part of the future, which would keep the buffer while it waits.
fn read_once(stream: &TcpStream) -> io::Result<usize> {
    let mut scratch = [0; 8 << 10];
    stream.try_read(&mut scratch)
}
