//! Answers the senders and delivers new messages.

use parlance_core::ErrorCode;

use super::batch::Job;
use super::metrics::Metrics;
use crate::encode;
use crate::model::{Event, WriteResult};
use crate::pubsub::PubSub;
use crate::streams::Streams;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Responder {
    pub(super) streams: Streams,
    pub(super) pubsub: PubSub,
    pub(super) metrics: Metrics,
}

impl Responder {
    /// Answers messages and delivers the new ones: first to the streams of this replica, then
    /// through Redis.
    pub(super) fn respond(&self, jobs: Vec<Job>) {
        let mut events = Vec::with_capacity(jobs.len());
        let mut answers = Vec::with_capacity(jobs.len());
        let mut duplicates = 0;
        for mut job in jobs {
            let result = job.result.take().unwrap_or(WriteResult::Refused(ErrorCode::Unavailable));
            let answer = match result {
                WriteResult::Stored { id, seq, created_at } => {
                    job.span.note("committed");
                    let message = job.draft.into_message(id, seq, created_at);
                    let answer = encode::stored(job.request_id, &message);
                    events.push(Event::created(message, job.span.traceparent()));
                    answer
                }
                WriteResult::Duplicate(first) => {
                    job.span.note("committed");
                    duplicates += 1;
                    encode::duplicate(job.request_id, first)
                }
                WriteResult::Refused(code) => {
                    job.span.fail(code.name());
                    self.metrics.count_refused(code, 1);
                    encode::refused(job.request_id, code)
                }
            };
            answers.push((job.stream, answer));
        }
        self.metrics.count(events.len(), "stored");
        self.metrics.count(duplicates, "duplicate");
        self.streams.deliver(&events, answers);
        self.pubsub.publish(&events);
    }

    /// Answers messages that are not written.
    pub(super) fn refuse(&self, mut jobs: Vec<Job>, code: ErrorCode) {
        if jobs.is_empty() {
            return;
        }
        jobs.iter_mut().for_each(|job| job.refuse(code));
        self.respond(jobs);
    }
}
