//! The unanswered requests and the streams that carry them. All of it changes under one lock, which
//! is never held across an await.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parlance_core::{ErrorCode, RoomId};
use parlance_proto::messaging::Answer;
use parlance_proto::messaging::answer::Outcome;
use tokio::time::Instant;

use crate::limits::InFlightPermit;
use crate::messaging_client::request_queue::RequestQueue;
use crate::messaging_client::stream_message::{Renewal, Reply, StreamMessage};
use crate::messaging_client::streams::{StreamId, Streams};

/// How long a request may stay unanswered, on however many streams it is sent.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// The most unanswered requests, renewals not counted. Beyond this number a request is answered
/// `unavailable` at once.
pub(super) const MAX_PENDING: usize = 20_000;
/// A user may make a request while the unanswered ones are fewer than the free places divided by
/// this number. However many users make as many as they may, there is a place for another one.
const FREE_PLACES_PER_SHARE: usize = 4;

/// The unanswered requests and the attached streams.
pub(super) struct PendingRequests {
    pub(super) streams: Streams,
    max: usize,
    /// How many of the requests are renewals, which have a bound of their own.
    renewals: usize,
    /// By request id, which is the order in which requests are made and in which they expire.
    requests: BTreeMap<u64, Request>,
    orderings: HashMap<OrderingKey, Ordering>,
}

/// A connection and a room. Sends with the same key are stored in the order in which they are made.
pub(super) type OrderingKey = (u64, RoomId);

/// The unanswered sends with one key.
#[derive(Default)]
struct Ordering {
    /// The stream of the latest send. The next send goes there too, even when the room has another
    /// owner replica by then: on another stream it could be stored first.
    stream: Option<StreamId>,
    unanswered: usize,
    /// True if a send could not be sent yet. Later ones wait behind it.
    is_blocked: bool,
}

struct Request {
    message: StreamMessage,
    reply: Reply,
    ordering_key: Option<OrderingKey>,
    /// Counts the request as one of its user.
    _permit: Option<InFlightPermit>,
    /// The stream that the request was sent on; none while it has not been sent.
    stream: Option<StreamId>,
    /// True if the request was sent on a stream that was lost.
    is_resent: bool,
    expires_at: Instant,
}

impl Default for PendingRequests {
    fn default() -> Self {
        Self::with_limit(MAX_PENDING)
    }
}

impl PendingRequests {
    /// Makes a table for at most `max` requests besides renewals.
    fn with_limit(max: usize) -> Self {
        Self {
            streams: Streams::default(),
            max,
            renewals: 0,
            requests: BTreeMap::new(),
            orderings: HashMap::new(),
        }
    }

    /// Sends a request, or keeps it until a replica is attached. Refuses it at once if too many are
    /// pending: with `rate_limited` if it is its user who has too many.
    pub(super) fn open(
        &mut self,
        request_id: u64,
        message: StreamMessage,
        ordering_key: Option<OrderingKey>,
        reply: Reply,
        permit: Option<InFlightPermit>,
    ) {
        if matches!(reply, Reply::Renewal(..)) {
            self.renewals += 1;
        } else if let Err(code) = self.admit(permit.as_ref()) {
            reply.resolve(Err(code));
            return;
        }
        if let Some(key) = ordering_key {
            self.orderings.entry(key).or_default().unanswered += 1;
        }
        let (stream, is_resent) = (None, false);
        let expires_at = Instant::now() + REQUEST_TIMEOUT;
        let mut request = Request {
            message,
            reply,
            ordering_key,
            _permit: permit,
            stream,
            is_resent,
            expires_at,
        };
        request.send(&self.streams, &mut self.orderings);
        self.requests.insert(request_id, request);
    }

    fn admit(&self, permit: Option<&InFlightPermit>) -> Result<(), ErrorCode> {
        let free = self.max.saturating_sub(self.requests.len() - self.renewals);
        if free == 0 {
            return Err(ErrorCode::Unavailable);
        }
        // The request itself is counted already.
        let is_over = |permit: &InFlightPermit| {
            permit.in_flight().saturating_sub(1) * FREE_PLACES_PER_SHARE >= free
        };
        match permit.filter(|&permit| is_over(permit)) {
            Some(permit) => Err(permit.refuse()),
            None => Ok(()),
        }
    }

    /// Passes answers to their callers and returns those for the event handler.
    pub(super) fn resolve(&mut self, answers: Vec<Answer>) -> Vec<Renewal> {
        let mut renewals = Vec::new();
        for answer in answers {
            // An expired request has been answered already.
            let Some(request) = self.requests.remove(&answer.request_id) else { continue };
            let result = match answer.outcome {
                Some(Outcome::Error(name)) => {
                    Err(request.refusal(ErrorCode::from_name(&name).unwrap_or(ErrorCode::Internal)))
                }
                outcome => {
                    outcome.map(|outcome| request.settle(outcome)).ok_or(ErrorCode::Internal)
                }
            };
            renewals.extend(self.close(request, result));
        }
        renewals
    }

    /// Answers expired requests with `unavailable`, returns the answers for the event handler, and
    /// sends what could not be sent before.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Renewal> {
        let mut renewals = Vec::new();
        while let Some(first) = self.requests.first_entry()
            && first.get().expires_at <= now
        {
            let request = first.remove();
            renewals.extend(self.close(request, Err(ErrorCode::Unavailable)));
        }
        self.send_unsent();
        renewals
    }

    /// Adds a stream and sends the waiting requests.
    pub(super) fn add_stream(&mut self, id: StreamId, queue: RequestQueue) {
        self.streams.add(id, queue);
        self.send_unsent();
    }

    /// Removes a stream and sends its unanswered requests on another one.
    pub(super) fn remove_stream(&mut self, id: StreamId) {
        self.streams.remove(id);
        for request in self.requests.values_mut().filter(|request| request.stream == Some(id)) {
            request.stream = None;
            request.is_resent = true;
        }
        self.send_unsent();
    }

    /// Returns true if the replica has sent its go-away and answered every request.
    pub(super) fn is_drained(&self, id: StreamId) -> bool {
        self.streams.is_leaving(id)
            && !self.requests.values().any(|request| request.stream == Some(id))
    }

    fn close(&mut self, request: Request, result: Result<Outcome, ErrorCode>) -> Option<Renewal> {
        if matches!(request.reply, Reply::Renewal(..)) {
            self.renewals -= 1;
        }
        if let Some(key) = request.ordering_key
            && let Some(ordering) = self.orderings.get_mut(&key)
        {
            ordering.unanswered -= 1;
            if ordering.unanswered == 0 {
                self.orderings.remove(&key);
            }
        }
        request.reply.resolve(result)
    }

    fn send_unsent(&mut self) {
        let Self { streams, requests, orderings, .. } = self;
        for request in requests.values().filter(|request| request.stream.is_none()) {
            if let Some(ordering) = request.ordering(orderings) {
                ordering.is_blocked = false;
            }
        }
        for request in requests.values_mut().filter(|request| request.stream.is_none()) {
            request.send(streams, orderings);
        }
    }
}

impl Request {
    /// Queues the request on a stream that has space, unless an earlier request with the same key
    /// waits.
    fn send(&mut self, streams: &Streams, orderings: &mut HashMap<OrderingKey, Ordering>) {
        let ordering = self.ordering(orderings);
        if ordering.as_ref().is_some_and(|ordering| ordering.is_blocked) {
            return;
        }
        let current = ordering.as_ref().and_then(|ordering| ordering.stream);
        let stream = current
            .filter(|id| streams.contains(*id))
            .or_else(|| streams.owner(self.message.room_id()));
        let push = |id: &StreamId| streams.push(*id, self.message.clone(), self.expires_at);
        self.stream = stream.filter(push);
        if let Some(ordering) = ordering {
            ordering.is_blocked = self.stream.is_none();
            ordering.stream = self.stream.or(ordering.stream);
        }
    }

    /// Returns the code for the caller. A replica that refuses to queue a message knows nothing of
    /// an earlier attempt, which may have been stored.
    fn refusal(&self, code: ErrorCode) -> ErrorCode {
        let is_unknown = self.is_resent && code == ErrorCode::RateLimited;
        if is_unknown { ErrorCode::Unavailable } else { code }
    }

    /// Returns the outcome for the caller. After a repetition by this gateway, a message with the
    /// same key and content is nearly always the one of the first attempt: it is new to the client.
    fn settle(&self, outcome: Outcome) -> Outcome {
        match (outcome, &self.message) {
            (Outcome::Sent(mut sent), StreamMessage::Send(send)) if self.is_resent => {
                let stored = sent.message.as_ref().map(|message| &message.content);
                sent.duplicate &= stored != Some(&send.content);
                Outcome::Sent(sent)
            }
            (outcome, _) => outcome,
        }
    }

    fn ordering<'a>(
        &self,
        orderings: &'a mut HashMap<OrderingKey, Ordering>,
    ) -> Option<&'a mut Ordering> {
        orderings.get_mut(&self.ordering_key?)
    }
}

#[cfg(test)]
#[path = "tests/pending.rs"]
mod tests;
