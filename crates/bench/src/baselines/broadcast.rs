//! A bare broadcast server with the gateway's WebSocket library. Each text that a client sends to
//! `/send` goes to all clients at `/listen`, in one order. The server has no parsing, no store and
//! no Redis. A text is in memory once, and all texts that wait for a client are written with one
//! flush.
//!
//! With a database the server stores each text before the broadcast, and all texts that wait with
//! one statement.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use axum::serve::ListenerExt;
use futures_util::SinkExt;
use sqlx::{Connection, PgConnection};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};

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
/// Texts that one statement stores.
const MAX_BATCH: usize = 400;

type Texts = broadcast::Sender<Utf8Bytes>;

/// The queues of the server.
#[derive(Clone)]
struct Room {
    /// The texts that all clients receive.
    texts: Texts,
    /// The texts that are to be stored before that.
    store: Option<mpsc::Sender<Utf8Bytes>>,
}

/// Serves until the parent process ends it. The parent's line is the URL of a database with the
/// table `single_rows`, or empty.
pub async fn serve() -> anyhow::Result<()> {
    let parent = Parent::new()?;
    let (texts, _) = broadcast::channel(QUEUE_LENGTH);
    let (store, waiting) = mpsc::channel(QUEUE_LENGTH);
    let database = Some(parent.line.trim()).filter(|url| !url.is_empty());
    let storing = match database {
        Some(url) => Some(store_forever(PgConnection::connect(url).await?, waiting, texts.clone())),
        None => None,
    };
    let room = Room { texts, store: storing.is_some().then_some(store) };
    let listener = parent.listener().await?.tap_io(|stream| {
        // A failure costs speed only.
        let _ = stream.set_nodelay(true);
    });
    tokio::select! {
        served = axum::serve(listener, router(room)) => Ok(served?),
        Some(stored) = async { Some(storing?.await) } => stored,
        () = parent.end() => Ok(()),
    }
}

/// Returns the router of a server without a database and without a listener.
pub fn router_without_store() -> Router {
    router(Room { texts: broadcast::channel(QUEUE_LENGTH).0, store: None })
}

fn router(room: Room) -> Router {
    Router::new()
        .route(
            LISTEN,
            any(async |upgrade: WebSocketUpgrade, State(room): State<Room>| {
                let texts = room.texts.subscribe();
                upgrade
                    .read_buffer_size(READ_BUFFER_BYTES)
                    .on_upgrade(|socket| listen(socket, texts))
            }),
        )
        .route(
            SEND,
            any(async |upgrade: WebSocketUpgrade, State(room): State<Room>| {
                upgrade.read_buffer_size(READ_BUFFER_BYTES).on_upgrade(|socket| send(socket, room))
            }),
        )
        .with_state(room)
}

async fn send(mut socket: WebSocket, room: Room) {
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(text) = message else { continue };
        match &room.store {
            // The server ends if storing fails.
            Some(store) => drop(store.send(text).await),
            // An error means that no client listens.
            None => drop(room.texts.send(text)),
        }
    }
}

/// Stores the texts that wait and broadcasts them.
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
