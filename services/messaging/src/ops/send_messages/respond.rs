//! Answers the senders and delivers new messages.

use parlance_core::ErrorCode;

use super::batch::Job;
use super::write::Committer;
use crate::encode;
use crate::model::{Event, EventKind, WriteResult};

impl Committer {
    /// Answers messages and delivers the new ones: first to the streams of this replica, then
    /// through Redis. A message without result is answered `unavailable`.
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
                    let (room_id, traceparent) = (message.room_id, job.span.traceparent());
                    let kind = EventKind::Created(message);
                    events.push(encode::event(Event { room_id, seq, kind, traceparent }));
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
}
