//! A bare broadcast server: what anybody sends to `/send` goes to everybody at `/listen`, in one order. The same WebSocket library as
//! the gateway's, and nothing else: no parsing, no store, no Redis. A text is held once for all, and everything that waits for a
//! listener is written with one flush.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use axum::serve::ListenerExt;
use futures_util::SinkExt;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::child::Parent;

/// The subcommand that runs it.
pub(crate) const COMMAND: &str = "broadcast-yardstick";
pub(crate) const LISTEN: &str = "/listen";
pub(crate) const SEND: &str = "/send";

/// Far more than are ever in flight.
const WAITING: usize = 8_192;
/// Sockets read no more than a frame at a time, as the gateway's do.
const BUFFER: usize = 4 << 10;

type Texts = broadcast::Sender<Utf8Bytes>;

/// Serves until the process that started this one wants it to end.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let parent = Parent::new()?;
    let listener = parent.listener().await?.tap_io(|stream| {
        // Without it everything works, and is slower.
        let _ = stream.set_nodelay(true);
    });
    tokio::select! {
        served = axum::serve(listener, router()) => Ok(served?),
        () = parent.end() => Ok(()),
    }
}

/// The server without a port.
pub(crate) fn router() -> Router {
    let (texts, _) = broadcast::channel(WAITING);
    Router::new()
        .route(
            LISTEN,
            any(async |upgrade: WebSocketUpgrade, State(texts): State<Texts>| {
                let texts = texts.subscribe();
                upgrade.read_buffer_size(BUFFER).on_upgrade(|socket| listen(socket, texts))
            }),
        )
        .route(
            SEND,
            any(async |upgrade: WebSocketUpgrade, State(texts): State<Texts>| {
                upgrade.read_buffer_size(BUFFER).on_upgrade(|socket| send(socket, texts))
            }),
        )
        .with_state(texts)
}

async fn send(mut socket: WebSocket, texts: Texts) {
    while let Some(Ok(message)) = socket.recv().await {
        if let Message::Text(text) = message {
            // Without listeners there is nobody to tell.
            let _ = texts.send(text);
        }
    }
}

/// Ends when the connection does, or when the listener has missed something: its count would be wrong.
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

/// Writes everything that waits.
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
