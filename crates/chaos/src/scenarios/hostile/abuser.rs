//! The abusers: each takes as much as it can get, from one address.

use std::sync::Arc;
use std::time::Duration;

use parlance_client::{
    Account, Client, Method, Options, Request, WebSocket, WebSocketOptions, endpoints,
};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::setup::{ABUSER_ADDRESS, Place};

const UNFINISHED_SOCKETS: usize = 200;
/// The header of a masked text frame of 2 MiB, with a zero mask.
const FRAME_HEADER: [u8; 14] = [0x81, 0xFF, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0];
/// All of the frame but its last byte.
const UNFINISHED_BYTES: usize = (2 << 20) - 1;
static CHUNK: [u8; 64 << 10] = [b'x'; 64 << 10];
const READERS: usize = 32;
const LOG_INS: usize = 80;
const SEND_SOCKETS: usize = 300;
/// The gateway handles so many sends of a connection at once.
const SENDS_IN_FLIGHT: usize = 64;
/// Sockets of each typist, all subscribed.
const SOCKETS_PER_TYPIST: usize = 10;
const TYPING_INTERVAL: Duration = Duration::from_millis(100);
const DELETIONS: usize = 16;
/// The pause of a client after an error, so that it does not spin.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// A kind of abuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abuser {
    UnfinishedFrames,
    BigRoom,
    LogIns,
    Sends,
    Typing,
    Deletions,
}

impl Abuser {
    pub(super) const ALL: [Self; 6] = [
        Self::UnfinishedFrames,
        Self::BigRoom,
        Self::LogIns,
        Self::Sends,
        Self::Typing,
        Self::Deletions,
    ];

    /// What it does, for the report.
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::UnfinishedFrames => {
                "200 sockets without a token, each with most of a 2 MiB frame"
            }
            Self::BigRoom => "32 clients that read a room of 50,000 members without being one",
            Self::LogIns => "80 wrong log-ins at a time from one address",
            Self::Sends => "one account with 64 sends in flight on each of 300 sockets",
            Self::Typing => "40 accounts that type in a room with 400 subscribers",
            Self::Deletions => "one account that deletes its 20,000 rooms",
        }
    }

    /// Abuses until then. Errors are what an abuser deserves, so they are ignored.
    pub(super) async fn run(self, place: Arc<Place>, until: Instant) {
        let mut clients = JoinSet::new();
        match self {
            Self::UnfinishedFrames => {
                spawn(&mut clients, UNFINISHED_SOCKETS, |_| send_unfinished(place.clone(), until))
            }
            Self::BigRoom => spawn(&mut clients, READERS, |_| {
                let path = format!("/v1/rooms/{}", place.big_room);
                let request = Request::get(path).bearer(&place.abuser.token);
                repeat(place.clone(), request)
            }),
            Self::LogIns => spawn(&mut clients, LOG_INS, |number| {
                let name = &place.ordinary[number % place.ordinary.len()].username;
                repeat(place.clone(), endpoints::login(name, "a wrong password"))
            }),
            Self::Sends => spawn(&mut clients, SEND_SOCKETS, |_| send(place.clone())),
            Self::Typing => {
                spawn(&mut clients, place.typists.len() * SOCKETS_PER_TYPIST, |number| {
                    type_text(place.clone(), number)
                })
            }
            Self::Deletions => {
                spawn(&mut clients, DELETIONS, |number| delete(place.clone(), number))
            }
        }
        let _ = timeout_at(until, async { while clients.join_next().await.is_some() {} }).await;
    }
}

fn spawn<F: Future<Output = ()> + Send + 'static>(
    clients: &mut JoinSet<()>,
    count: usize,
    client: impl Fn(usize) -> F,
) {
    (0..count).for_each(|number| drop(clients.spawn(client(number))));
}

fn client(place: &Place) -> Client {
    let options = Options { local_addresses: vec![ABUSER_ADDRESS], ..Options::default() };
    Client::with_options([place.gateway], options)
}

async fn connect(place: &Place, account: Option<&Account>) -> Option<WebSocket> {
    let options = WebSocketOptions {
        token: account.map(|account| account.token.clone()),
        local_address: Some(ABUSER_ADDRESS),
        ..Default::default()
    };
    WebSocket::connect_with(place.gateway, options).await.ok()
}

/// Sends one request after the other.
async fn repeat(place: Arc<Place>, request: Request) {
    let client = client(&place);
    loop {
        if !client.send(request.clone()).await.is_ok_and(|response| response.status == 200) {
            sleep(RETRY_INTERVAL).await;
        }
    }
}

/// Sends most of a frame, waits, and begins again if the gateway ends the connection.
async fn send_unfinished(place: Arc<Place>, until: Instant) {
    loop {
        if let Some(mut stream) = upgrade(&place).await {
            let _ = send_most_of_a_frame(&mut stream).await;
            // The gateway closes a socket without a token after a while.
            let mut end = [0];
            let _ = timeout_at(until, async {
                while stream.peek(&mut end).await? > 0 {
                    sleep(RETRY_INTERVAL).await;
                }
                std::io::Result::Ok(())
            })
            .await;
        }
        sleep(RETRY_INTERVAL).await;
    }
}

async fn upgrade(place: &Place) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind((ABUSER_ADDRESS, 0).into()).ok()?;
    let mut stream = socket.connect(place.gateway).await.ok()?;
    let request = format!(
        "GET /v1/messages/ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        place.gateway
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    Some(stream)
}

async fn send_most_of_a_frame(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(&FRAME_HEADER).await?;
    let mut left = UNFINISHED_BYTES;
    while left > 0 {
        let length = left.min(CHUNK.len());
        stream.write_all(&CHUNK[..length]).await?;
        left -= length;
    }
    Ok(())
}

/// Keeps as many messages in flight as the gateway takes.
async fn send(place: Arc<Place>) {
    let message = json!({
        "type": "send_message", "room_id": place.own_room, "content": "abuse", "ref": "abuse",
    });
    loop {
        let Some(mut socket) = connect(&place, Some(&place.abuser)).await else {
            sleep(RETRY_INTERVAL).await;
            continue;
        };
        for _ in 0..SENDS_IN_FLIGHT {
            if socket.send(&message).await.is_err() {
                break;
            }
        }
        while socket.next().await.is_ok() && socket.send(&message).await.is_ok() {}
    }
}

/// Subscribes and types.
async fn type_text(place: Arc<Place>, number: usize) {
    let account = &place.typists[number % place.typists.len()];
    let typing = json!({"type": "typing", "room_id": place.typing_room});
    loop {
        let Some(mut socket) = connect(&place, Some(account)).await else {
            sleep(RETRY_INTERVAL).await;
            continue;
        };
        if socket.subscribe(place.typing_room, None).await.is_err() {
            continue;
        }
        let mut due = Instant::now();
        while socket.send(&typing).await.is_ok() {
            due += TYPING_INTERVAL;
            // What the others type is read and thrown away.
            while timeout_at(due, socket.next()).await.is_ok_and(|received| received.is_ok()) {}
            sleep_until(due).await;
        }
    }
}

/// Deletes each of its rooms once.
async fn delete(place: Arc<Place>, number: usize) {
    let client = client(&place);
    for room in place.doomed_rooms.iter().skip(number).step_by(DELETIONS) {
        let path = format!("/v1/rooms/{room}");
        let request = Request::new(Method::DELETE, path).bearer(&place.abuser.token);
        if client.send(request).await.is_err() {
            sleep(RETRY_INTERVAL).await;
        }
    }
}
