//! A case: what a client sends, and all that must come back.

use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::timeout;

use super::wire::{CLOSE, PONG, Received, TEXT, close, decode, frame};
use crate::support::{Person, person, stack};

/// How many cases run at once.
const CONCURRENCY: usize = 24;
/// The longest time of a case on a busy machine.
const CASE_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause between chunks, so that they arrive one by one.
const CHUNK_PAUSE: Duration = Duration::from_millis(1);
const NORMAL: u16 = 1000;

pub(super) struct Case {
    name: String,
    sent: Vec<u8>,
    /// True if the upgrade request and all frames are written at once.
    is_early: bool,
    /// The bytes that are written at once.
    chunk: usize,
    /// The text frames that must come back.
    texts: Vec<Value>,
    /// The payloads of the pongs that must come back.
    pongs: Vec<Vec<u8>>,
    /// The payload of the close frame with which the gateway ends the connection. Without one, the
    /// client closes the connection at the end, which shows that it was open.
    closing: Option<Vec<u8>>,
}

impl Case {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            sent: Vec::new(),
            is_early: false,
            chunk: usize::MAX,
            texts: Vec::new(),
            pongs: Vec::new(),
            closing: None,
        }
    }

    pub(super) fn send(mut self, wire: impl AsRef<[u8]>) -> Self {
        self.sent.extend_from_slice(wire.as_ref());
        self
    }

    /// Sends a `ping` request and expects its answer.
    pub(super) fn exchange(self, reference: &str) -> Self {
        self.send(frame(TEXT, request(reference))).answered(reference)
    }

    /// Writes the frames together with the upgrade request.
    pub(super) fn early(mut self) -> Self {
        self.is_early = true;
        self.name.push_str(", early");
        self
    }

    /// Writes in chunks of this many bytes.
    pub(super) fn chopped(mut self, chunk: usize) -> Self {
        self.chunk = chunk;
        self.name = format!("{}, {chunk} bytes at once", self.name);
        self
    }

    /// Expects the answer to a `ping` request.
    pub(super) fn answered(mut self, reference: &str) -> Self {
        self.texts.push(json!({"type": "pong", "ref": reference}));
        self
    }

    /// Expects an `error` frame.
    pub(super) fn refused(mut self, code: &str) -> Self {
        self.texts.push(json!({"type": "error", "code": code}));
        self
    }

    /// Expects the pong to a ping.
    pub(super) fn pong(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.pongs.push(payload.as_ref().to_vec());
        self
    }

    /// Expects that the gateway closes the connection.
    pub(super) fn closed(mut self, code: u16) -> Self {
        self.closing = Some(code.to_be_bytes().to_vec());
        self
    }

    /// Expects that the gateway closes the connection without a code.
    pub(super) fn closed_without_code(mut self) -> Self {
        self.closing = Some(Vec::new());
        self
    }

    async fn run(mut self, person: &Person) -> Result<(), String> {
        let closing = self.closing.take().unwrap_or_else(|| {
            self.sent.extend(close(NORMAL, ""));
            NORMAL.to_be_bytes().to_vec()
        });
        let sent = mem::take(&mut self.sent);
        let (early, sent) = if self.is_early { (sent, Vec::new()) } else { (Vec::new(), sent) };
        let stream = open(person, &early).await;
        let mut received = exchange(stream, &sent, self.chunk).await?;
        let last = received.pop();
        if last != Some(Received { opcode: CLOSE, payload: closing }) {
            return Err(format!("{received:?} {last:?}"));
        }
        let (pongs, texts): (Vec<_>, Vec<_>) =
            received.into_iter().partition(|frame| frame.opcode == PONG);
        let pongs: Vec<Vec<u8>> = pongs.into_iter().map(|frame| frame.payload).collect();
        let texts: Vec<Value> = texts.iter().map(summary).collect();
        let is_expected = pongs == self.pongs && texts == self.texts;
        is_expected.then_some(()).ok_or_else(|| format!("{texts:?} {pongs:?}"))
    }
}

/// The text of a `ping` request.
pub(super) fn request(reference: &str) -> String {
    json!({"type": "ping", "ref": reference}).to_string()
}

/// The text of a `ping` request with the `ref` `r` and this length.
pub(super) fn request_of(length: usize) -> String {
    let request = r#"{"type":"ping","ref":"r","pad":""}"#;
    request.replace("\"\"}", &format!("\"{}\"}}", "x".repeat(length - request.len())))
}

/// The members of a text frame that a case names.
fn summary(frame: &Received) -> Value {
    let mut text = serde_json::from_slice(&frame.payload).unwrap_or(Value::Null);
    if frame.opcode == TEXT
        && let Some(members) = text.as_object_mut()
    {
        members.remove("error");
    }
    text
}

/// Sends bytes on a new, authenticated connection. Returns the frames that come back behind the
/// answer to the token until the gateway ends the connection. A reset is an error.
pub(super) async fn exchange(
    stream: TcpStream,
    sent: &[u8],
    chunk: usize,
) -> Result<Vec<Received>, String> {
    let run = async {
        let (mut reader, writer) = stream.into_split();
        let mut received = Vec::new();
        let read = reader.read_to_end(&mut received);
        let (_writer, read) = tokio::join!(write(writer, sent, chunk), read);
        read.map_err(|error| format!("{error} after {received:?}"))?;
        decode(&received)
    };
    let mut frames = timeout(CASE_TIMEOUT, run).await.map_err(|_| "no end in time")??;
    if frames.is_empty() {
        return Err("no frame".to_owned());
    }
    let welcome: Value = serde_json::from_slice(&frames.remove(0).payload).unwrap_or_default();
    assert_eq!(welcome["type"], "success", "{welcome}");
    Ok(frames)
}

/// Writes in chunks. Returns the writing half, which must stay open.
async fn write(mut writer: OwnedWriteHalf, sent: &[u8], chunk: usize) -> OwnedWriteHalf {
    for chunk in sent.chunks(chunk) {
        // The gateway may have closed the connection already.
        if writer.write_all(chunk).await.is_err() {
            break;
        }
        if chunk.len() < sent.len() {
            tokio::time::sleep(CHUNK_PAUSE).await;
        }
    }
    writer
}

/// Opens an authenticated connection and sends bytes together with the upgrade request.
pub(super) async fn open(person: &Person, early: &[u8]) -> TcpStream {
    let authorization = format!("Authorization: Bearer {}\r\n", person.token);
    upgrade(person.api.gateway, &authorization, early).await
}

/// Opens a WebSocket with these lines in the upgrade request, and these bytes behind it.
pub(super) async fn upgrade(gateway: SocketAddr, lines: &str, early: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!(
        "GET /v1/messages/ws HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    );
    stream.write_all(&[request.as_bytes(), early].concat()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream
}

/// Runs cases and reports all that fail. There must be at least this many of them.
pub(super) async fn run_all(cases: Vec<Case>, least: usize) {
    assert!(cases.len() >= least, "{} cases", cases.len());
    let person = &person(stack().await).await;
    let results = stream::iter(cases).map(async |case| {
        let name = case.name.clone();
        case.run(person).await.err().map(|failure| format!("{name}: {failure:.1000}"))
    });
    let failures: Vec<String> =
        results.buffer_unordered(CONCURRENCY).filter_map(async |failure| failure).collect().await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
