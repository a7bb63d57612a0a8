//! What the parts of one HTTP connection tell each other: the service that has the request, the
//! body of the answer, and the transport below hyper.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use parlance_core::ErrorCode;
use tokio::net::TcpStream;

use crate::limits::TcpPermit;
use crate::lock::lock;

/// No request is here, or its head is being read.
const WAITING: u8 = 0;
/// The service has a request.
const OPEN: u8 = 1;
/// hyper has taken the whole answer, and may not have written all of it.
const ANSWERED: u8 = 2;

/// The state of a connection between two requests or in one.
#[derive(Default)]
pub(super) struct Exchange {
    /// Read and written by the task of the connection only.
    state: AtomicU8,
    /// The connection when HTTP on it has ended, unless it has become a WebSocket.
    ended: Mutex<Option<Ended>>,
}

/// A connection on which HTTP has ended.
pub(super) struct Ended {
    pub(super) stream: TcpStream,
    pub(super) permit: TcpPermit,
    /// The beginning of an unanswered head.
    pub(super) head: Vec<u8>,
    /// Why the head is refused.
    pub(super) refused: Option<ErrorCode>,
}

impl Exchange {
    /// A request has arrived at the service.
    pub(super) fn begin(&self) {
        self.state.store(OPEN, Ordering::Relaxed);
    }

    /// Returns true if hyper waits for a head or reads one.
    pub(super) fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Relaxed) == WAITING
    }

    /// Everything that hyper had is written. Returns true if that was the end of an answer.
    pub(super) fn finish(&self) -> bool {
        let is_finished = self.state.load(Ordering::Relaxed) == ANSWERED;
        if is_finished {
            self.state.store(WAITING, Ordering::Relaxed);
        }
        is_finished
    }

    pub(super) fn hand_back(&self, ended: Ended) {
        *lock(&self.ended) = Some(ended);
    }

    pub(super) fn take_ended(&self) -> Option<Ended> {
        lock(&self.ended).take()
    }
}

/// The body of an answer. hyper drops it when it has taken the last byte.
pub(super) struct AnswerBody {
    body: Body,
    exchange: Arc<Exchange>,
}

impl AnswerBody {
    pub(super) fn new(body: Body, exchange: Arc<Exchange>) -> Self {
        Self { body, exchange }
    }
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.exchange.state.store(ANSWERED, Ordering::Relaxed);
    }
}
