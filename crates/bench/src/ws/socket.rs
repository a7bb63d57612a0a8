//! A WebSocket connection of tungstenite.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::{FutureExt, SinkExt, StreamExt};
use parlance_client::{Message, WebSocket, WebSocketOptions, WebSocketStream};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::counting::CountingSocket;

/// Bounds the upgrade, each write, and the wait for each text.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The `ref` of a `subscribe` frame.
const SUBSCRIBE_REF: &str = "subscribe";

/// Where a server accepts WebSockets.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// The address of the server.
    pub address: SocketAddr,
    /// The path of the upgrade request.
    pub path: &'static str,
}

/// An open WebSocket.
#[derive(Debug)]
pub struct Socket(WebSocketStream<TcpStream>);

impl Endpoint {
    /// Opens a WebSocket, from another local address than the usual one if one is given. A token
    /// authenticates it; the gateway's `success` frame is then read.
    pub async fn connect(
        self,
        local_address: Option<Ipv4Addr>,
        token: Option<&str>,
    ) -> anyhow::Result<Socket> {
        let Self { address, path } = self;
        let has_token = token.is_some();
        let token = token.map(str::to_owned);
        let options =
            WebSocketOptions { path, token, timeout: TIMEOUT, local_address, ..Default::default() };
        let mut socket = Socket(WebSocket::connect_with(address, options).await?.into_stream());
        if has_token {
            socket.next().await.context("no success frame")?;
        }
        Ok(socket)
    }
}

impl Socket {
    /// Sends frames with one write.
    pub async fn send(&mut self, frames: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
        let sending = async {
            for frame in frames {
                self.0.feed(Message::text(frame)).await?;
            }
            self.0.flush().await
        };
        Ok(timeout(TIMEOUT, sending).await.context("the server does not read")??)
    }

    /// Returns the next text. Cancel safe.
    pub async fn next(&mut self) -> anyhow::Result<Utf8Bytes> {
        timeout(TIMEOUT, self.receive()).await.context("nothing arrived")?
    }

    /// Returns the next text if it has arrived.
    pub fn try_next(&mut self) -> anyhow::Result<Option<Utf8Bytes>> {
        self.receive().now_or_never().transpose()
    }

    async fn receive(&mut self) -> anyhow::Result<Utf8Bytes> {
        loop {
            match self.0.next().await.context("the connection has ended")?? {
                Message::Text(text) => return Ok(text),
                Message::Close(frame) => bail!("the server closed the connection: {frame:?}"),
                _ => {}
            }
        }
    }

    /// Subscribes to a room, with `after_seq` to receive the events after it. Returns the answer
    /// and the events that arrived before it.
    pub async fn subscribe(
        &mut self,
        room: i64,
        after_seq: Option<i64>,
    ) -> anyhow::Result<(Value, Vec<Value>)> {
        let mut frame = json!({"type": "subscribe", "room_id": room, "ref": SUBSCRIBE_REF});
        if let Some(seq) = after_seq {
            frame["after_seq"] = seq.into();
        }
        self.send([frame.to_string()]).await?;
        let mut events = Vec::new();
        loop {
            let frame: Value = serde_json::from_str(&self.next().await?)?;
            if frame["ref"] == SUBSCRIBE_REF {
                ensure!(frame["type"] == "success", "subscribing was answered with {frame}");
                return Ok((frame, events));
            }
            events.push(frame);
        }
    }

    /// Answers pings and ignores texts until the connection ends.
    pub async fn hold(mut self) -> anyhow::Error {
        loop {
            if let Err(error) = self.receive().await {
                return error;
            }
        }
    }

    /// Continues as a socket that counts texts. To be called when no text is on its way:
    /// tungstenite may have read a part of it, which would be lost.
    pub fn into_counting(self) -> CountingSocket {
        CountingSocket::new(self.0.into_inner())
    }
}
