//! A client's WebSocket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(15);

/// What the kernel takes of a narrow connection that is not read, in bytes.
const NARROW: u32 = 4 << 10;

/// A connected socket.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// How a connection ended: with a close code, or without any.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended(pub(crate) Option<u16>);

impl Socket {
    /// Connects to `/v1/messages/ws` at a gateway, with a token in `Authorization` or without.
    pub(crate) async fn open(base: &str, token: Option<&str>) -> Self {
        let authorization = token.map(|token| ("authorization", format!("Bearer {token}")));
        Self::connect(base, authorization).await.expect("the gateway upgrades")
    }

    /// Connects with these headers, or is refused with a status.
    pub(crate) async fn connect(
        base: &str,
        headers: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, u16> {
        match tokio_tungstenite::connect_async(upgrade(base, headers)).await {
            Ok((stream, _)) => Ok(Self { stream }),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("no answer to the upgrade: {error}"),
        }
    }

    /// Connects with a token, unless the gateway is away or goes away meanwhile.
    pub(crate) async fn reach(base: &str, token: &str) -> Option<Self> {
        let request = upgrade(base, [("authorization", format!("Bearer {token}"))]);
        match tokio_tungstenite::connect_async(request).await {
            Ok((stream, _)) => Some(Self { stream }),
            Err(tungstenite::Error::Http(response)) => panic!("no socket: {response:?}"),
            Err(_) => None,
        }
    }

    /// Connects with a token, over a connection that soon is full when it is not read.
    pub(crate) async fn open_narrow(base: &str, token: &str) -> Self {
        let request = upgrade(base, [("authorization", format!("Bearer {token}"))]);
        let address = base.trim_start_matches("http://").parse().unwrap();
        let connection = TcpSocket::new_v4().unwrap();
        connection.set_recv_buffer_size(NARROW).unwrap();
        let connection = connection.connect(address).await.expect("the gateway accepts");
        let connection = MaybeTlsStream::Plain(connection);
        let (stream, _) =
            tokio_tungstenite::client_async(request, connection).await.expect("it upgrades");
        Self { stream }
    }

    /// Sends one frame.
    pub(crate) async fn send(&mut self, frame: &Value) {
        self.send_raw(Message::text(frame.to_string())).await;
    }

    /// Sends a frame that need not be right.
    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.stream.send(message).await.expect("the socket takes a frame");
    }

    /// The next frame of the server, whatever it is.
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
        loop {
            let next = tokio::time::timeout(DEADLINE, self.stream.next()).await;
            match next.expect("something comes in time") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    return Err(Ended(frame.map(|frame| frame.code.into())));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Ended(None)),
            }
        }
    }

    /// Sends a frame unless the connection has ended already.
    pub(crate) async fn send_if_open(&mut self, message: Message) -> bool {
        self.stream.send(message).await.is_ok()
    }

    /// Waits for a ping of the server, past frames; it is answered when the socket is next used.
    pub(crate) async fn pinged(&mut self, limit: Duration) {
        let ping = async {
            while !matches!(
                self.stream.next().await.expect("the connection lives"),
                Ok(Message::Ping(_))
            ) {}
        };
        tokio::time::timeout(limit, ping).await.expect("the server pings in time");
    }

    /// Sends a frame and takes the next one as its answer.
    pub(crate) async fn ask(&mut self, frame: &Value) -> Value {
        self.send(frame).await;
        self.next().await
    }

    /// Subscribes to a room; the answer.
    pub(crate) async fn subscribe(&mut self, room: i64) -> Value {
        let answer = self.ask(&json!({"type": "subscribe", "room_id": room})).await;
        assert_eq!(answer["message"], format!("Subscribed to room {room}"), "{answer}");
        answer
    }

    /// Everything that was sent to this socket before the answer to a ping that is sent now. What
    /// other sockets have been told about by then is among it, if it was passed on in the same
    /// breath; use [`next`](Self::next) for what must still come.
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

    /// Waits for the close code, past whatever comes before.
    pub(crate) async fn closed(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.frame_or_end().await {
                return ended;
            }
        }
    }

    /// Ends the connection without a word, as a lost network does.
    pub(crate) fn drop_connection(self) {
        drop(self);
    }
}

/// The request for a socket at a gateway.
fn upgrade(base: &str, headers: impl IntoIterator<Item = (&'static str, String)>) -> Request<()> {
    let url = format!("{}/v1/messages/ws", base.replacen("http", "ws", 1));
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(name, HeaderValue::try_from(value).unwrap());
    }
    request
}

/// The `seq` of an event frame: of the change it tells.
pub(crate) fn seq_of(frame: &Value) -> i64 {
    let seq = if frame["type"] == "message" { &frame["message"]["seq"] } else { &frame["seq"] };
    seq.as_i64().unwrap_or_else(|| panic!("no event: {frame}"))
}
