//! Connections for misuse.

use std::time::Duration;

use anyhow::Context;
use parlance_client::{Account, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::target::Target;
use crate::connection::connect;

/// Bounds everything that a gateway does at once.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_BACKOFF: Duration = Duration::from_millis(100);
/// No answer to an invalid request is longer.
const MAX_ANSWER: u64 = 64 << 10;

/// Opens a WebSocket, anonymous without an account.
pub(super) async fn open(
    target: Target<'_>,
    account: Option<&Account>,
) -> anyhow::Result<WebSocket> {
    let opening = async {
        loop {
            match connect(target.gateway, account).await {
                Ok(socket) => return socket,
                // A reconnect storm may have to be admitted first.
                Err(_) => sleep(RETRY_BACKOFF).await,
            }
        }
    };
    timeout(TIMEOUT, opening).await.context("no connection could be opened")
}

/// Sends bytes over TCP and nothing more. Returns the first line of the answer, empty if the
/// connection just ended.
pub(super) async fn exchange(
    target: Target<'_>,
    bytes: &[u8],
    max_duration: Duration,
) -> anyhow::Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(target.gateway).await.context("no connection")?;
        // The gateway may end the connection before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = (&mut stream).take(MAX_ANSWER).read_to_end(&mut answer).await;
        anyhow::Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
    };
    timeout(max_duration, exchange).await.context("neither answered nor closed in time")?
}

/// True if the status is a client error.
pub(super) fn is_client_error(status_line: &str) -> bool {
    status_line.starts_with("HTTP/1.1 4")
}
