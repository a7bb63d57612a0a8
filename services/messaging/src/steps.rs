//! The steps of a message here, as they are recorded when its trace is.

use parlance_core::RoomId;
use parlance_runtime::context::RequestContext;
use parlance_runtime::trace::{Span, SpanBuilder, Trace};

use crate::model::Event;
use crate::writer::Job;

/// The id of the request in the log lines of a batch, which belong to no request alone.
const NO_REQUEST: &str = "-";

/// From taking a message in to knowing what has come of it.
pub(crate) fn store(traceparent: &str, room_id: RoomId) -> Span {
    Trace::follow(traceparent, || {
        SpanBuilder::server("store message").with("parlance.room.id", room_id.get())
    })
}

/// Storing a batch, and what calls are made in meanwhile; nothing when no message in it is
/// recorded. The batch stands below the first message that is, and each of them and the batch are
/// linked.
pub(crate) fn batch(jobs: &mut [Job]) -> Option<(Span, RequestContext)> {
    let first = jobs.iter().find(|job| job.span.is_recorded())?;
    let size = jobs.len() as i64;
    let mut batch = first
        .span
        .start_span(|| SpanBuilder::internal("batch").with("messaging.batch.message_count", size));
    let trace = batch.trace()?;
    for job in jobs.iter_mut().filter(|job| job.span.is_recorded()) {
        job.span.note("taken into a batch");
        job.span.link(&batch);
        batch.link(&job.span);
    }
    let request_id = NO_REQUEST.into();
    Some((batch, RequestContext { request_id, trace, deadline: None }))
}

/// Having a batch stored.
pub(crate) fn write_batch(messages: usize) -> Span {
    const PROCEDURE: &str = "messaging.write_batch";
    RequestContext::start_span(|| {
        SpanBuilder::client(PROCEDURE)
            .with("db.system.name", "postgresql")
            .with("db.stored_procedure.name", PROCEDURE)
            .with("db.operation.batch.size", messages as i64)
    })
}

/// Telling the other replicas of an event.
pub(crate) fn publish(event: &Event) -> Span {
    Trace::follow(&event.traceparent, || {
        let step = SpanBuilder::producer("publish room:{id}");
        over_redis(step, event.room_id, "publish", "send")
    })
}

/// Passing on what another replica has told; the events go on from there.
pub(crate) fn receive(events: &mut [Event]) -> Vec<Span> {
    let recorded = events.iter_mut().filter(|event| !event.traceparent.is_empty());
    let receive = |event: &mut Event| {
        let span = Trace::follow(&event.traceparent, || {
            let step = SpanBuilder::consumer("receive room:{id}");
            over_redis(step, event.room_id, "receive", "process")
        });
        if span.is_recorded() {
            event.traceparent = span.traceparent();
        }
        span
    };
    recorded.map(receive).collect()
}

/// Says what is done with the channel of a room.
fn over_redis(
    step: SpanBuilder,
    room_id: RoomId,
    operation: &'static str,
    kind: &'static str,
) -> SpanBuilder {
    step.with("messaging.operation.name", operation)
        .with("messaging.operation.type", kind)
        .with("messaging.system", "redis")
        .with("messaging.destination.template", "room:{id}")
        .with("messaging.destination.name", format!("room:{room_id}"))
}
