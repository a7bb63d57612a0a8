//! A bare broadcast server: what anybody sends to `/send` goes to everybody at `/listen`, in one
//! order. The same WebSocket library as the gateway's, and nothing else: no parsing, no store, no
//! Redis. A text is held once for all, and everything that waits for a listener is written with one
//! flush.
//!
//! Told of a database, it stores each text before it passes it on: everything that waits with one
//! statement, and again nothing else.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use axum::serve::ListenerExt;
use futures_util::SinkExt;
use sqlx::{Connection, PgConnection};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};

use super::child::Parent;

/// The subcommand that runs it.
pub(crate) const COMMAND: &str = "broadcast-yardstick";
pub(crate) const LISTEN: &str = "/listen";
pub(crate) const SEND: &str = "/send";

/// Far more than are ever in flight.
const WAITING: usize = 8_192;
/// Sockets read no more than a frame at a time, as the gateway's do.
const BUFFER: usize = 4 << 10;

/// What is stored with one statement.
const MAX_BATCH: usize = 400;

type Texts = broadcast::Sender<Utf8Bytes>;

/// Where texts go.
#[derive(Clone)]
struct Room {
    texts: Texts,
    /// Where they go first.
    store: Option<mpsc::Sender<Utf8Bytes>>,
}

/// Serves until the process that started this one wants it to end. It is told the URL of a database
/// with the table `single_rows`, or nothing.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let parent = Parent::new()?;
    let (texts, _) = broadcast::channel(WAITING);
    let (store, waiting) = mpsc::channel(WAITING);
    let database = Some(parent.line.trim()).filter(|url| !url.is_empty());
    let storing = match database {
        Some(url) => Some(store_forever(PgConnection::connect(url).await?, waiting, texts.clone())),
        None => None,
    };
    let room = Room { texts, store: storing.is_some().then_some(store) };
    let listener = parent.listener().await?.tap_io(|stream| {
        // Without it everything works, and is slower.
        let _ = stream.set_nodelay(true);
    });
    tokio::select! {
        served = axum::serve(listener, router(room)) => Ok(served?),
        Some(stored) = async { Some(storing?.await) } => stored,
        () = parent.end() => Ok(()),
    }
}

/// The server that stores nothing, without a port.
#[cfg(test)]
pub(crate) fn bare_router() -> Router {
    router(Room { texts: broadcast::channel(WAITING).0, store: None })
}

fn router(room: Room) -> Router {
    Router::new()
        .route(
            LISTEN,
            any(async |upgrade: WebSocketUpgrade, State(room): State<Room>| {
                let texts = room.texts.subscribe();
                upgrade.read_buffer_size(BUFFER).on_upgrade(|socket| listen(socket, texts))
            }),
        )
        .route(
            SEND,
            any(async |upgrade: WebSocketUpgrade, State(room): State<Room>| {
                upgrade.read_buffer_size(BUFFER).on_upgrade(|socket| send(socket, room))
            }),
        )
        .with_state(room)
}

async fn send(mut socket: WebSocket, room: Room) {
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(text) = message else { continue };
        match &room.store {
            // The server ends with its store.
            Some(store) => drop(store.send(text).await),
            // Without listeners there is nobody to tell.
            None => drop(room.texts.send(text)),
        }
    }
}

/// Stores what waits, and passes it on.
async fn store_forever(
    mut connection: PgConnection,
    mut waiting: mpsc::Receiver<Utf8Bytes>,
    texts: Texts,
) -> anyhow::Result<()> {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let contents: Vec<&str> = batch.iter().map(Utf8Bytes::as_str).collect();
        let insert =
            "INSERT INTO single_rows (room_id, sender_id, content) SELECT 1, 1, unnest($1::TEXT[])";
        sqlx::query(insert).bind(contents).execute(&mut connection).await?;
        for text in batch.drain(..) {
            let _ = texts.send(text);
        }
    }
    Ok(())
}

/// Ends when the connection does, or when the listener has missed something: its count would be
/// wrong.
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
