//! A client's WebSocket: everything on it has a deadline, and every trouble ends it.

use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::api::Person;

const DEADLINE: Duration = Duration::from_secs(5);

/// An authenticated connection.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub(super) async fn open(url: &str, person: &Person) -> anyhow::Result<Self> {
        let mut request = url.into_client_request()?;
        let authorization = HeaderValue::try_from(format!("Bearer {}", person.token))?;
        request.headers_mut().insert("authorization", authorization);
        let connected = timeout(DEADLINE, tokio_tungstenite::connect_async(request)).await;
        let (stream, _) = connected.context("the gateway did not answer")??;
        Ok(Self { stream })
    }

    /// Connects to any gateway, however often that takes. Safe to cancel.
    pub(super) async fn open_any(urls: &[String], person: &Person, rng: &mut StdRng) -> Self {
        let mut index = rng.random_range(0..urls.len());
        loop {
            if let Ok(socket) = Self::open(&urls[index], person).await {
                return socket;
            }
            index = (index + 1) % urls.len();
            sleep(Duration::from_millis(rng.random_range(100..400))).await;
        }
    }

    pub(super) async fn send(&mut self, frame: &Value) -> anyhow::Result<()> {
        let sent = timeout(DEADLINE, self.stream.send(Message::text(frame.to_string()))).await;
        Ok(sent.context("the gateway does not read")??)
    }

    /// The next frame. Safe to cancel.
    pub(super) async fn next(&mut self) -> anyhow::Result<Value> {
        loop {
            match self.stream.next().await.context("the connection has ended")?? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(frame) => bail!("closed: {frame:?}"),
                _ => {}
            }
        }
    }
}
