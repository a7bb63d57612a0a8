//! Sockets that can be misused, and what a gateway may do with them.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::{self, Message};

use super::Target;
use crate::api::Person;
pub(super) use crate::clients::socket::RawSocket;
use crate::clients::socket::connect;

/// For whatever a gateway does at once.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// No answer to a request that is this bad is longer.
const MAX_ANSWER: u64 = 64 << 10;

/// What came over a socket.
#[derive(Debug)]
pub(super) enum Heard {
    Frame(Value),
    /// The end, with its code if there was a close frame.
    End(Option<u16>),
}

/// Opens a socket, for a person or for nobody.
pub(super) async fn open(target: Target<'_>, person: Option<&Person>) -> anyhow::Result<RawSocket> {
    let opening = async {
        loop {
            match connect(target.url, person).await {
                // A storm of others may have to be admitted first.
                Err(_) => sleep(PAUSE).await,
                opened => return opened,
            }
        }
    };
    timeout(DEADLINE, opening).await.context("no socket could be opened")?
}

/// What a message of the gateway means; nothing for signs of life.
pub(super) fn heard(
    message: Option<Result<Message, tungstenite::Error>>,
) -> anyhow::Result<Option<Heard>> {
    match message {
        Some(Ok(Message::Text(text))) => {
            let frame = serde_json::from_str(&text).context("a frame is not JSON")?;
            Ok(Some(Heard::Frame(frame)))
        }
        Some(Ok(Message::Close(frame))) => {
            Ok(Some(Heard::End(frame.map(|frame| frame.code.into()))))
        }
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(message)) => bail!("it sent {message:?}"),
        // A connection may be cut without a farewell.
        Some(Err(_)) | None => Ok(Some(Heard::End(None))),
    }
}

/// Sends bytes as they are, and says no more; the first line of the answer, empty if the connection
/// just ended.
pub(super) async fn answer_to(
    target: Target<'_>,
    bytes: &[u8],
    deadline: Duration,
) -> anyhow::Result<String> {
    let talk = async {
        let mut stream = TcpStream::connect(target.authority()).await.context("no connection")?;
        // It may be over before it has heard all of it.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = (&mut stream).take(MAX_ANSWER).read_to_end(&mut answer).await;
        anyhow::Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
    };
    timeout(deadline, talk).await.context("neither answered nor closed in time")?
}

/// Whether the fault is said to be the client's.
pub(super) fn blames_the_client(status_line: &str) -> bool {
    status_line.starts_with("HTTP/1.1 4")
}
