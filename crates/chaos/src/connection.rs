//! WebSocket connections of simulated clients.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{Stream, StreamExt};
use parlance_client::{Account, Error, Message, WebSocket, WebSocketOptions};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite;

const TIMEOUT: Duration = Duration::from_secs(5);

/// What arrived on a connection.
#[derive(Debug)]
pub(crate) enum Received {
    Frame(Value),
    /// The end, with its code if there was a close frame.
    Closed(Option<u16>),
}

/// Opens a connection to a gateway, anonymous without an account.
pub(crate) async fn connect(
    gateway: SocketAddr,
    account: Option<&Account>,
) -> Result<WebSocket, Error> {
    let token = account.map(|account| account.token.clone());
    let options = WebSocketOptions { token, timeout: TIMEOUT, ..Default::default() };
    WebSocket::connect_with(gateway, options).await
}

/// Tries one gateway after the other until a connection is open. Cancel safe.
pub(crate) async fn connect_any(
    gateways: &[SocketAddr],
    account: &Account,
    rng: &mut StdRng,
) -> WebSocket {
    let mut index = rng.random_range(0..gateways.len());
    loop {
        if let Ok(socket) = connect(gateways[index], Some(account)).await {
            return socket;
        }
        index = (index + 1) % gateways.len();
        sleep(Duration::from_millis(rng.random_range(100..400))).await;
    }
}

/// Waits for the next frame, without a timeout. Fails if the gateway sends anything but JSON text.
/// Cancel safe.
pub(crate) async fn receive(
    stream: &mut (impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin),
) -> anyhow::Result<Received> {
    loop {
        match stream.next().await {
            Some(Ok(Message::Text(text))) => {
                let frame = serde_json::from_str(&text).context("a frame is not JSON")?;
                return Ok(Received::Frame(frame));
            }
            Some(Ok(Message::Close(frame))) => {
                return Ok(Received::Closed(frame.map(|frame| frame.code.into())));
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(message)) => bail!("the gateway sent {message:?}"),
            // A connection may end without a close frame.
            Some(Err(_)) | None => return Ok(Received::Closed(None)),
        }
    }
}
