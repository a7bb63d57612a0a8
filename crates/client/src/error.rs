//! What can go wrong in a call.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use tokio_tungstenite::tungstenite;

/// Why a call or a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The gateway did not answer, or did not read, within the timeout.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection could not be opened, or it broke.
    #[error("the connection failed")]
    Connection(#[source] Box<dyn StdError + Send + Sync>),
    /// The request has an invalid path or header.
    #[error("the request is invalid")]
    Request(#[from] http::Error),
    /// The gateway answered with another status than the expected one.
    #[error("unexpected status {status}: {body}")]
    Status {
        /// The status of the response, also of a refused WebSocket upgrade.
        status: StatusCode,
        /// The body of the response.
        body: String,
    },
    /// A body or a frame is no JSON, or lacks a member.
    #[error("unexpected content: {0}")]
    Content(String),
    /// The gateway answered a frame with an `error` frame.
    #[error("the frame was refused: {0}")]
    Frame(Value),
    /// The WebSocket has ended, with this close code if the gateway sent one.
    #[error("the WebSocket has ended with close code {0:?}")]
    Closed(Option<u16>),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Connection(error.into())
    }
}

impl From<tungstenite::Error> for Error {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(response) => {
                let body = response.body().as_deref().unwrap_or_default();
                let body = String::from_utf8_lossy(body).into_owned();
                Self::Status { status: response.status(), body }
            }
            error => Self::Connection(error.into()),
        }
    }
}
