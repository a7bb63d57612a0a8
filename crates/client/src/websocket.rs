//! One WebSocket connection to a gateway.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::Error;

/// tungstenite fills its buffer with zeros before each read, so its default of 128 KiB would cost
/// more than the frames, and 10,000 sockets would take more than a gigabyte.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// How a [`WebSocket`] connects.
#[derive(Clone, Debug)]
pub struct WebSocketOptions {
    /// The path of the upgrade request.
    pub path: &'static str,
    /// Authenticates in the upgrade request, with `Authorization: Bearer <token>`. The gateway then
    /// sends a `success` frame first.
    pub token: Option<String>,
    /// Headers of the upgrade request beyond the necessary ones.
    pub headers: Vec<(&'static str, String)>,
    /// Bounds the upgrade, each write, and the wait for each frame.
    pub timeout: Duration,
    /// Another address of this machine than the usual one.
    pub local_address: Option<Ipv4Addr>,
    /// The size of the kernel's receive buffer, in bytes. A small one is soon full when the client
    /// does not read.
    pub receive_buffer: Option<u32>,
}

impl Default for WebSocketOptions {
    fn default() -> Self {
        Self {
            path: "/v1/messages/ws",
            token: None,
            headers: Vec::new(),
            timeout: Duration::from_secs(15),
            local_address: None,
            receive_buffer: None,
        }
    }
}

/// An open WebSocket. Dropping it ends the connection without a close frame.
#[derive(Debug)]
pub struct WebSocket {
    stream: WebSocketStream<TcpStream>,
    timeout: Duration,
    /// Frames that arrived while [`request`](Self::request) waited for its answer.
    unread: VecDeque<Value>,
    /// The number of requests so far; makes their `ref`s.
    requests: u64,
}

impl WebSocket {
    /// Opens a WebSocket that is authenticated with this token.
    pub async fn connect(gateway: SocketAddr, token: &str) -> Result<Self, Error> {
        let token = Some(token.to_owned());
        Self::connect_with(gateway, WebSocketOptions { token, ..Default::default() }).await
    }

    /// Opens a WebSocket. A refused upgrade is [`Error::Status`].
    pub async fn connect_with(
        gateway: SocketAddr,
        options: WebSocketOptions,
    ) -> Result<Self, Error> {
        let limit = options.timeout;
        let upgraded = timeout(limit, upgrade(gateway, options)).await;
        let stream = upgraded.unwrap_or(Err(Error::Timeout(limit)))?;
        Ok(Self { stream, timeout: limit, unread: VecDeque::new(), requests: 0 })
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &Value) -> Result<(), Error> {
        self.send_message(Message::text(frame.to_string())).await
    }

    /// Sends a message that need not be a valid frame of the protocol.
    pub async fn send_message(&mut self, message: Message) -> Result<(), Error> {
        let sent = timeout(self.timeout, self.stream.send(message)).await;
        Ok(sent.map_err(|_| Error::Timeout(self.timeout))??)
    }

    /// The next frame. The end of the connection is [`Error::Closed`]. Cancel safe.
    pub async fn next(&mut self) -> Result<Value, Error> {
        if let Some(frame) = self.unread.pop_front() {
            return Ok(frame);
        }
        self.receive_in_time().await
    }

    async fn receive_in_time(&mut self) -> Result<Value, Error> {
        let received = timeout(self.timeout, self.receive()).await;
        received.unwrap_or(Err(Error::Timeout(self.timeout)))
    }

    async fn receive(&mut self) -> Result<Value, Error> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text)
                        .map_err(|_| Error::Content(text.to_string()));
                }
                Some(Ok(Message::Close(frame))) => {
                    return Err(Error::Closed(frame.map(|frame| frame.code.into())));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Error::Closed(None)),
            }
        }
    }

    /// Sends a frame with a `ref` of its own and returns the frame that answers it. Frames that
    /// arrive in between are kept for [`next`](Self::next). An `error` frame is [`Error::Frame`].
    pub async fn request(&mut self, mut frame: Value) -> Result<Value, Error> {
        self.requests += 1;
        let reference = Value::from(format!("request-{}", self.requests));
        frame["ref"] = reference.clone();
        self.send(&frame).await?;
        let answer = loop {
            let frame = self.receive_in_time().await?;
            if frame["ref"] == reference {
                break frame;
            }
            self.unread.push_back(frame);
        };
        if answer["type"] == "error" { Err(Error::Frame(answer)) } else { Ok(answer) }
    }

    /// Throws away the frames that are kept for [`next`](Self::next).
    pub fn forget_unread(&mut self) {
        self.unread.clear();
    }

    /// Authenticates with a frame.
    pub async fn authenticate(&mut self, token: &str) -> Result<Value, Error> {
        self.request(json!({"type": "auth", "token": token})).await
    }

    /// Subscribes to a room and returns the answer, which has the `head_seq` of the room. With
    /// `after_seq` the gateway then sends the events after it.
    pub async fn subscribe(
        &mut self,
        room_id: i64,
        after_seq: Option<i64>,
    ) -> Result<Value, Error> {
        let mut frame = json!({"type": "subscribe", "room_id": room_id});
        if let Some(seq) = after_seq {
            frame["after_seq"] = Value::from(seq);
        }
        self.request(frame).await
    }

    /// The connection itself, for what this type does not offer: pings, partial frames, the socket.
    pub fn stream(&mut self) -> &mut WebSocketStream<TcpStream> {
        &mut self.stream
    }

    /// Returns the connection itself, without the frames that wait for [`next`](Self::next).
    pub fn into_stream(self) -> WebSocketStream<TcpStream> {
        self.stream
    }
}

async fn upgrade(
    gateway: SocketAddr,
    options: WebSocketOptions,
) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = format!("ws://{gateway}{}", options.path).into_client_request()?;
    let authorization = options.token.map(|token| ("authorization", format!("Bearer {token}")));
    for (name, value) in authorization.into_iter().chain(options.headers) {
        let value = HeaderValue::try_from(value).map_err(http::Error::from)?;
        request.headers_mut().insert(name, value);
    }
    let socket = TcpSocket::new_v4()?;
    socket.set_nodelay(true)?;
    if let Some(address) = options.local_address {
        socket.bind((address, 0).into())?;
    }
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    let stream = socket.connect(gateway).await?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    Ok(client_async_with_config(request, stream, Some(config)).await?.0)
}
