//! The memory that unfinished messages of strangers take.

use std::time::Duration;

use futures_util::future::join_all;
use parlance_devstack::Stack;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::case::upgrade;
use super::wire::{CONTINUATION, FINAL, MASKED, TEXT, fragment, header};
use crate::support::on_stack;

const SOCKETS: usize = 200;
/// Above what the largest message takes on all sockets (12.5 MiB), and far below what they send.
const MAX_GROWTH: usize = 40 << 20;

/// Returns the memory of the gateway's process, in bytes.
fn resident_bytes(stack: &Stack) -> usize {
    let id = stack.process("gateway", 0).id().unwrap();
    let statm = std::fs::read_to_string(format!("/proc/{id}/statm")).unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Opens sockets that send the same and nothing more.
async fn open_all(stack: &Stack, sent: &[u8]) -> Vec<TcpStream> {
    let open = async |_| {
        let mut stream = upgrade(stack.address("gateway", 0), "", &[]).await;
        // The gateway may close the connection before it has read everything.
        let _ = stream.write_all(sent).await;
        stream
    };
    join_all((0..SOCKETS).map(open)).await
}

/// A frame of which the last byte is missing. Its mask changes nothing.
fn unfinished(first: u8, length: usize) -> Vec<u8> {
    let payload = vec![b'x'; length - 1];
    [header(first, MASKED, length as u64), vec![0; 4], payload].concat()
}

#[tokio::test]
async fn unfinished_messages_of_strangers_take_little_memory() {
    on_stack(1, 1, async |stack| {
        let fragments = fragment(TEXT, "x".repeat(60 << 10));
        let before = resident_bytes(stack);
        for sent in [
            unfinished(FINAL | TEXT, 2 << 20),
            [fragments, unfinished(FINAL | CONTINUATION, 2 << 20)].concat(),
            unfinished(FINAL | TEXT, 64 << 10),
        ] {
            let sockets = open_all(stack, &sent).await;
            // The gateway may not have read everything yet.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let grown = resident_bytes(stack).saturating_sub(before);
            assert!(grown < MAX_GROWTH, "{grown} bytes for {} sockets", sockets.len());
        }
    })
    .await;
}
