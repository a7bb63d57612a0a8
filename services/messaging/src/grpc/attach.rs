//! `Attach`: the one stream between a gateway and this replica.

use futures_util::stream::{self, BoxStream, StreamExt};
use parlance_core::{ErrorCode, RoomId};
use parlance_proto::messaging::{AttachRequest, AttachResponse, Send, Subscribe, Typing};
use parlance_runtime::Lifecycle;
use parlance_runtime::error::status_from_code;
use parlance_runtime::trace::{SpanBuilder, Trace};
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::decode;
use super::stream_clock::StreamClock;
use crate::app::App;
use crate::clients::memberships::Check;
use crate::ops::send_messages::Job;
use crate::streams::{StreamId, StreamQueue};
use crate::{encode, ops};

/// Attaches a gateway. A task handles its requests; the returned stream carries the responses.
pub(super) fn attach(
    app: &App,
    requests: Streaming<AttachRequest>,
    lifecycle: &Lifecycle,
) -> BoxStream<'static, Result<AttachResponse, Status>> {
    let (id, queue) = app.streams.attach();
    let mut gateway = Gateway {
        app: app.clone(),
        id,
        lifecycle: lifecycle.clone(),
        clock: StreamClock::default(),
    };
    let closed = queue.closed().clone();
    lifecycle.spawn(async move {
        closed.run_until_cancelled(gateway.handle_requests(requests)).await;
        gateway.detach().await;
    });
    responses(queue)
}

/// Turns a queue into a stream. The stream ends with `unavailable`, so that the gateway attaches
/// again.
fn responses(queue: StreamQueue) -> BoxStream<'static, Result<AttachResponse, Status>> {
    let responses = stream::unfold(queue, |mut queue| async move {
        let response = queue.next().await?;
        Some((Ok(response), queue))
    });
    let end = stream::once(async { Err(status_from_code(ErrorCode::Unavailable, None)) });
    responses.chain(end).boxed()
}

/// An attached gateway, for the task that handles its requests.
struct Gateway {
    app: App,
    id: StreamId,
    lifecycle: Lifecycle,
    clock: StreamClock,
}

impl Gateway {
    /// Handles requests until the gateway closes its side.
    async fn handle_requests(&mut self, mut requests: Streaming<AttachRequest>) {
        loop {
            match requests.message().await {
                Ok(Some(request)) => self.handle(request),
                Ok(None) => return,
                Err(status) => {
                    tracing::debug!(error = status.message(), "the stream of a gateway failed");
                    return;
                }
            }
        }
    }

    async fn detach(&self) {
        ops::unsubscribe_unused(&self.app, self.app.streams.detach(self.id)).await;
    }

    /// Starts everything that a request asks for, in its order. Does not wait.
    fn handle(&mut self, request: AttachRequest) {
        if !request.sends.is_empty() {
            self.clock.note(request.sent_at_us, Instant::now());
            self.send(request.sends);
        }
        if !request.subscribes.is_empty() {
            self.subscribe(request.subscribes);
        }
        if !request.released_room_ids.is_empty() {
            self.release(request.released_room_ids);
        }
        if !request.typings.is_empty() {
            self.show_typing(request.typings);
        }
    }

    fn send(&self, sends: Vec<Send>) {
        let job = |send: Send| {
            let span = Trace::follow(&send.traceparent, || {
                SpanBuilder::server("store message").with("parlance.room.id", send.room_id)
            });
            let (stream, request_id) = (self.id, send.request_id);
            let deadline = self.clock.deadline(send.deadline_us);
            Job { draft: decode::draft(send), stream, request_id, deadline, span, result: None }
        };
        self.app.send_pipeline.submit(sends.into_iter().map(job).collect());
    }

    /// Subscribes the stream at once, so that no change after `last_seq` is missed. Answers when
    /// `last_seq` is known.
    fn subscribe(&self, subscribes: Vec<Subscribe>) {
        let checks: Vec<Check> = subscribes.iter().map(decode::subscriber).collect();
        for check in &checks {
            self.app.streams.subscribe(self.id, check.room_id);
        }
        let (app, id) = (self.app.clone(), self.id);
        self.lifecycle.spawn(async move {
            let results = ops::subscribe(&app, checks).await;
            let request_ids = subscribes.iter().map(|subscribe| subscribe.request_id);
            let answers = request_ids.zip(results).map(|(request_id, result)| match result {
                Ok(start) => encode::subscribed(request_id, start.last_seq, start.room_version),
                Err(code) => encode::refused(request_id, code),
            });
            app.streams.answer(id, answers);
        });
    }

    fn release(&self, room_ids: Vec<i64>) {
        let unused: Vec<RoomId> = room_ids
            .into_iter()
            .map(RoomId::new)
            .filter(|&room_id| self.app.streams.unsubscribe(self.id, room_id))
            .collect();
        let app = self.app.clone();
        self.lifecycle.spawn(async move { ops::unsubscribe_unused(&app, unused).await });
    }

    fn show_typing(&self, typings: Vec<Typing>) {
        let (app, id) = (self.app.clone(), self.id);
        self.lifecycle.spawn(async move {
            let request_ids: Vec<u64> = typings.iter().map(|typing| typing.request_id).collect();
            let (checks, users) = typings.into_iter().map(decode::typing).unzip();
            let results = ops::show_typing(&app, checks, users).await;
            let results = request_ids.into_iter().zip(results);
            let answers = results.map(|(request_id, result)| match result {
                Ok(()) => encode::typing_shown(request_id),
                Err(code) => encode::refused(request_id, code),
            });
            app.streams.answer(id, answers);
        });
    }
}
