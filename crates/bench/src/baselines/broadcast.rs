//! A bare broadcast server with the gateway's WebSocket library. Each text that a client sends to
//! `/send` goes to all clients at `/listen`, in one order. The server has no parsing, no store and
//! no Redis. A text is in memory once, and all texts that wait for a client are written with one
//! flush.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use axum::serve::ListenerExt;
use futures_util::SinkExt;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::process::Parent;

/// The subcommand that runs it.
pub(crate) const COMMAND: &str = "broadcast-baseline";
/// The path of the clients that receive.
pub const LISTEN: &str = "/listen";
/// The path of the clients that send.
pub const SEND: &str = "/send";

/// Texts that may wait: far more than are ever in flight.
const QUEUE_LENGTH: usize = 8_192;
/// The same as the gateway's.
const READ_BUFFER_BYTES: usize = 4 << 10;

type Texts = broadcast::Sender<Utf8Bytes>;

/// Serves until the parent process ends it.
pub async fn serve() -> anyhow::Result<()> {
    let parent = Parent::new()?;
    let listener = parent.listener().await?.tap_io(|stream| {
        // A failure costs speed only.
        let _ = stream.set_nodelay(true);
    });
    tokio::select! {
        served = axum::serve(listener, router()) => Ok(served?),
        () = parent.end() => Ok(()),
    }
}

/// Returns the router of a server without a listener.
pub fn router() -> Router {
    Router::new()
        .route(
            LISTEN,
            any(async |upgrade: WebSocketUpgrade, State(texts): State<Texts>| {
                let texts = texts.subscribe();
                upgrade
                    .read_buffer_size(READ_BUFFER_BYTES)
                    .on_upgrade(|socket| listen(socket, texts))
            }),
        )
        .route(
            SEND,
            any(async |upgrade: WebSocketUpgrade, State(texts): State<Texts>| {
                upgrade.read_buffer_size(READ_BUFFER_BYTES).on_upgrade(|socket| send(socket, texts))
            }),
        )
        .with_state(broadcast::channel(QUEUE_LENGTH).0)
}

async fn send(mut socket: WebSocket, texts: Texts) {
    while let Some(Ok(message)) = socket.recv().await {
        if let Message::Text(text) = message {
            // An error means that no client listens.
            let _ = texts.send(text);
        }
    }
}

/// Ends with the connection, or when the client is too slow and has missed texts: its count would
/// be wrong.
async fn listen(mut socket: WebSocket, mut texts: broadcast::Receiver<Utf8Bytes>) {
    loop {
        let first = match texts.recv().await {
            Ok(text) => text,
            Err(RecvError::Closed | RecvError::Lagged(_)) => return,
        };
        if write(&mut socket, first, &mut texts).await.is_none() {
            return;
        }
    }
}

/// Writes all texts that wait. Returns `None` if the client must be disconnected.
async fn write(
    socket: &mut WebSocket,
    first: Utf8Bytes,
    texts: &mut broadcast::Receiver<Utf8Bytes>,
) -> Option<()> {
    socket.feed(Message::Text(first)).await.ok()?;
    loop {
        match texts.try_recv() {
            Ok(text) => socket.feed(Message::Text(text)).await.ok()?,
            Err(TryRecvError::Empty) => break,
            Err(TryRecvError::Closed | TryRecvError::Lagged(_)) => return None,
        }
    }
    socket.flush().await.ok()
}
