//! A TCP proxy that can stall: connections stay open, and no byte passes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct Proxy {
    address: SocketAddr,
    is_stalled: watch::Sender<bool>,
    _task: JoinSet<()>,
}

/// Ends the stall when it is dropped.
pub(crate) struct Stall<'a>(&'a Proxy);

impl Proxy {
    pub(crate) async fn to(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_stalled, stalled) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut copies = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(service).await else { continue };
                let ((near_reader, near_writer), (far_reader, far_writer)) =
                    (near.into_split(), far.into_split());
                copies.spawn(copy(near_reader, far_writer, stalled.clone()));
                copies.spawn(copy(far_reader, near_writer, stalled.clone()));
            }
        });
        Self { address, is_stalled, _task: task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn stall(&self) -> Stall<'_> {
        self.is_stalled.send_replace(true);
        Stall(self)
    }
}

impl Drop for Stall<'_> {
    fn drop(&mut self) {
        self.0.is_stalled.send_replace(false);
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut stalled: watch::Receiver<bool>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let is_open = stalled.wait_for(|is_stalled| !is_stalled).await.is_ok();
        if !is_open || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
