//! The socket itself: frames in, frames out, and the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::SinkExt;
use parlance_core::ErrorCode;

use super::outbound::{CloseCode, Outbound};
use super::protocol::{ClientFrame, Refusal};

/// The largest frame of a client that is handled.
const MAX_FRAME: usize = 64 << 10;
/// How long one write may take, and how long a closing handshake.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The socket and the queue towards it.
pub(super) struct Socket {
    pub(super) socket: WebSocket,
    pub(super) outbound: Arc<Outbound>,
}

/// What came from the client.
pub(super) enum Incoming {
    Frame(Result<ClientFrame, Refusal>),
    /// A sign of life without meaning.
    Nothing,
    TooBig,
    End,
}

impl Socket {
    /// The next frame of the client that means something.
    pub(super) async fn read_frame(&mut self) -> Incoming {
        loop {
            match self.read().await {
                Incoming::Nothing => {}
                incoming => return incoming,
            }
        }
    }

    /// What comes next from the client. Safe to cancel.
    pub(super) async fn read(&mut self) -> Incoming {
        match self.socket.recv().await {
            Some(Ok(Message::Text(text))) if text.len() > MAX_FRAME => Incoming::TooBig,
            Some(Ok(Message::Binary(bytes))) if bytes.len() > MAX_FRAME => Incoming::TooBig,
            Some(Ok(Message::Text(text))) => Incoming::Frame(ClientFrame::parse(&text)),
            Some(Ok(Message::Binary(_))) => {
                let sentence = "A frame must be text".to_owned();
                Incoming::Frame(Err(Refusal { reference: None, code: ErrorCode::InvalidFrame, sentence }))
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Incoming::Nothing,
            Some(Ok(Message::Close(_)) | Err(_)) | None => Incoming::End,
        }
    }

    /// Writes frames with one flush; whether that worked. A client that does not read is cut meanwhile.
    pub(super) async fn write(&mut self, frames: VecDeque<Utf8Bytes>) -> bool {
        let cut = self.outbound.cut().clone();
        let socket = &mut self.socket;
        let write = async {
            for frame in frames {
                socket.feed(Message::Text(frame)).await?;
            }
            socket.flush().await
        };
        match cut.run_until_cancelled(tokio::time::timeout(WRITE_LIMIT, write)).await {
            Some(Ok(written)) => {
                self.outbound.note_written();
                written.is_ok()
            }
            Some(Err(_)) => {
                self.outbound.cut_off();
                false
            }
            None => false,
        }
    }

    /// Asks whether the client is still there; whether that could be written.
    pub(super) async fn ping(&mut self) -> bool {
        let ping = self.socket.send(Message::Ping(Bytes::new()));
        matches!(tokio::time::timeout(WRITE_LIMIT, ping).await, Ok(Ok(())))
    }

    /// Writes what is queued and closes with this code.
    pub(super) async fn close(mut self, code: CloseCode) {
        self.outbound.close(code);
        let (frames, _) = self.outbound.take().await;
        let farewell = async {
            for frame in frames {
                self.socket.feed(Message::Text(frame)).await?;
            }
            let reason = Utf8Bytes::from_static("");
            self.socket.send(Message::Close(Some(CloseFrame { code: code.0, reason }))).await?;
            // The client's own close frame ends the connection in good order.
            while let Some(Ok(_)) = self.socket.recv().await {}
            Ok::<(), axum::Error>(())
        };
        // A client that does not take its leave in time is left.
        let _ = tokio::time::timeout(CLOSE_LIMIT, farewell).await;
    }
}
