//! A WebSocket, with assertions on what it receives.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use parlance_client::{Error, Message, WebSocket, WebSocketOptions};
use serde_json::{Value, json};

/// The size of the kernel's receive buffer of a narrow connection, in bytes.
const NARROW_RECEIVE_BUFFER: u32 = 4 << 10;

/// A connected WebSocket.
pub(crate) struct Socket(WebSocket);

/// How a connection ended: with a close code, or without any.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended(pub(crate) Option<u16>);

impl Socket {
    /// Connects with a token in `Authorization`, or without.
    pub(crate) async fn open(gateway: SocketAddr, token: Option<&str>) -> Self {
        let options = WebSocketOptions { token: token.map(str::to_owned), ..Default::default() };
        Self(WebSocket::connect_with(gateway, options).await.expect("the gateway upgrades"))
    }

    /// Connects with these headers. Returns the status if the upgrade is refused.
    pub(crate) async fn connect(
        gateway: SocketAddr,
        headers: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, u16> {
        let headers = headers.into_iter().collect();
        let options = WebSocketOptions { headers, ..Default::default() };
        match WebSocket::connect_with(gateway, options).await {
            Ok(socket) => Ok(Self(socket)),
            Err(Error::Status { status, .. }) => Err(status.as_u16()),
            Err(error) => panic!("no answer to the upgrade: {error:?}"),
        }
    }

    /// Connects with a token. Returns `None` if the gateway cannot be reached or goes away
    /// meanwhile.
    pub(crate) async fn try_open(gateway: SocketAddr, token: &str) -> Option<Self> {
        match WebSocket::connect(gateway, token).await {
            Ok(socket) => Some(Self(socket)),
            Err(error @ Error::Status { .. }) => panic!("the upgrade is refused: {error}"),
            Err(_) => None,
        }
    }

    /// Connects with a token and a small receive buffer, so that the connection is soon full when
    /// the test does not read.
    pub(crate) async fn open_narrow(gateway: SocketAddr, token: &str) -> Self {
        let options = WebSocketOptions {
            token: Some(token.to_owned()),
            receive_buffer: Some(NARROW_RECEIVE_BUFFER),
            ..Default::default()
        };
        Self(WebSocket::connect_with(gateway, options).await.expect("the gateway upgrades"))
    }

    /// Sends one frame.
    pub(crate) async fn send(&mut self, frame: &Value) {
        self.send_raw(Message::text(frame.to_string())).await;
    }

    /// Sends a message that need not be a valid frame.
    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.0.send_message(message).await.expect("the connection is open");
    }

    /// The next frame.
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            match self.frame_or_end().await {
                Ok(frame) => frame,
                Err(ended) => panic!("the connection has ended at {caller}: {ended:?}"),
            }
        }
    }

    /// The next frame, or how the connection ended.
    pub(crate) async fn frame_or_end(&mut self) -> Result<Value, Ended> {
        match self.0.next().await {
            Ok(frame) => Ok(frame),
            Err(Error::Closed(code)) => Err(Ended(code)),
            Err(error) => panic!("no frame: {error:?}"),
        }
    }

    /// Sends a message. Returns false if the connection has ended.
    pub(crate) async fn send_if_open(&mut self, message: Message) -> bool {
        self.0.send_message(message).await.is_ok()
    }

    /// Waits for a ping of the server and discards frames. The ping is answered when the WebSocket
    /// is used next.
    pub(crate) async fn pinged(&mut self, limit: Duration) {
        let stream = self.0.stream();
        let ping = async { while !matches!(stream.next().await.unwrap(), Ok(Message::Ping(_))) {} };
        tokio::time::timeout(limit, ping).await.expect("the server pings in time");
    }

    /// Sends a frame and returns the next one.
    pub(crate) async fn ask(&mut self, frame: &Value) -> Value {
        self.send(frame).await;
        self.next().await
    }

    /// Subscribes to a room and returns the answer.
    pub(crate) async fn subscribe(&mut self, room: i64) -> Value {
        let answer = self.ask(&json!({"type": "subscribe", "room_id": room})).await;
        assert_eq!(answer["message"], format!("Subscribed to room {room}"), "{answer}");
        answer
    }

    /// All frames before the answer to a ping that is sent now. Events that other connections have
    /// received by then are among them if they were delivered in the same batch. For an event that
    /// may still be on its way use [`next`](Self::next).
    pub(crate) async fn so_far(&mut self) -> Vec<Value> {
        self.send(&json!({"type": "ping", "ref": "so far"})).await;
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await;
            if frame["type"] == "pong" && frame["ref"] == "so far" {
                return frames;
            }
            frames.push(frame);
        }
    }

    /// Waits for the end of the connection and discards frames.
    pub(crate) async fn closed(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.frame_or_end().await {
                return ended;
            }
        }
    }

    /// Ends the connection without a close frame, as a lost network does.
    pub(crate) fn drop_connection(self) {
        drop(self);
    }
}

/// The `seq` of the change that an event frame carries.
pub(crate) fn event_seq(frame: &Value) -> i64 {
    let seq = if frame["type"] == "message" { &frame["message"]["seq"] } else { &frame["seq"] };
    seq.as_i64().unwrap_or_else(|| panic!("no event: {frame}"))
}
