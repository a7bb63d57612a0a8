//! A client's WebSocket: everything on it has a deadline, and every trouble ends it.

use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::api::Person;

const DEADLINE: Duration = Duration::from_secs(5);

/// A WebSocket that can be misused.
pub(crate) type RawSocket = WebSocketStream<TcpStream>;

/// Opens a socket, for a person or for nobody.
pub(crate) async fn connect(url: &str, person: Option<&Person>) -> anyhow::Result<RawSocket> {
    connect_over(TcpSocket::new_v4()?, url, person).await
}

/// The same over a TCP socket that may have settings of its own.
pub(crate) async fn connect_over(
    socket: TcpSocket,
    url: &str,
    person: Option<&Person>,
) -> anyhow::Result<RawSocket> {
    let mut request = url.into_client_request()?;
    let gateway = request.uri().authority().context("a URL names its host")?.as_str().parse()?;
    if let Some(person) = person {
        let authorization = HeaderValue::try_from(format!("Bearer {}", person.token))?;
        request.headers_mut().insert("authorization", authorization);
    }
    let connected = timeout(DEADLINE, async {
        let stream = socket.connect(gateway).await?;
        anyhow::Ok(tokio_tungstenite::client_async(request, stream).await?.0)
    });
    connected.await.context("the gateway did not answer")?
}

/// An authenticated connection.
pub(crate) struct Socket {
    stream: RawSocket,
}

impl Socket {
    pub(crate) async fn open(url: &str, person: &Person) -> anyhow::Result<Self> {
        Ok(Self { stream: connect(url, Some(person)).await? })
    }

    /// Connects to any gateway, however often that takes. Safe to cancel.
    pub(crate) async fn open_any(urls: &[String], person: &Person, rng: &mut StdRng) -> Self {
        let mut index = rng.random_range(0..urls.len());
        loop {
            if let Ok(socket) = Self::open(&urls[index], person).await {
                return socket;
            }
            index = (index + 1) % urls.len();
            sleep(Duration::from_millis(rng.random_range(100..400))).await;
        }
    }

    pub(crate) async fn send(&mut self, frame: &Value) -> anyhow::Result<()> {
        let sent = timeout(DEADLINE, self.stream.send(Message::text(frame.to_string()))).await;
        Ok(sent.context("the gateway does not read")??)
    }

    /// The next frame. Safe to cancel.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Value> {
        loop {
            match self.stream.next().await.context("the connection has ended")?? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(frame) => bail!("closed: {frame:?}"),
                _ => {}
            }
        }
    }
}
