//! A request that is handled alone.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::MaybeDone;
use parlance_core::{ErrorCode, RoomId};
use parlance_runtime::context::RequestContext;
use parlance_runtime::trace::Span;

use crate::auth::identity::Identity;
use crate::ws::frames::Frames;
use crate::ws::protocol::ErrorFrame;

/// A request that is being handled.
pub(super) struct ActiveRequest {
    future: MaybeDone<Pin<Box<dyn Future<Output = Finished> + Send>>>,
    pub(super) is_subscribe: bool,
    /// From the frame to the result.
    _span: Span,
}

/// The result of a request that is handled alone.
pub(super) enum Finished {
    Request(Frames),
    Subscribe(RoomId, Result<(), ErrorFrame>),
    Auth(Option<String>, Result<Arc<Identity>, ErrorCode>),
}

impl ActiveRequest {
    pub(super) fn new(
        (span, context): (Span, RequestContext),
        future: impl Future<Output = Finished> + Send + 'static,
    ) -> Self {
        let future = MaybeDone::Future(Box::pin(context.scope(future)) as Pin<Box<_>>);
        Self { future, is_subscribe: false, _span: span }
    }

    /// Handles the request and keeps the result. Safe to cancel.
    pub(super) async fn run(&mut self) {
        (&mut self.future).await;
    }

    /// Handles the request and returns the result, once. Safe to cancel.
    pub(super) async fn finish(&mut self) -> Option<Finished> {
        self.run().await;
        Pin::new(&mut self.future).take_output()
    }
}
