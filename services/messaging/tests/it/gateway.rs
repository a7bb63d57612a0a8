//! The gateway's side of an `Attach` stream.

use parlance_core::ErrorCode;
use parlance_proto::messaging::answer::Outcome;
use parlance_proto::messaging::event::Kind;
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_proto::messaging::*;
use parlance_runtime::error::code_from_status;
use parlance_runtime::grpc::Client;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::app::WAIT_TIMEOUT;

/// An attached gateway. While a method waits, all responses are collected in `received`.
pub(crate) struct Gateway {
    requests: mpsc::Sender<AttachRequest>,
    responses: Streaming<AttachResponse>,
    last_request_id: u64,
    pub(crate) received: AttachResponse,
}

/// The stored message, or the error code.
pub(crate) type SendResult = Result<Sent, ErrorCode>;

impl Gateway {
    pub(crate) async fn attach(client: &Client) -> Self {
        let (requests, receiver) = mpsc::channel(64);
        let replica = client.replicas().borrow()[0].clone();
        let responses = MessagingServiceClient::new(replica.channel())
            .max_decoding_message_size(64 << 20)
            .attach(client.authorize(ReceiverStream::new(receiver)))
            .await
            .unwrap()
            .into_inner();
        Self { requests, responses, last_request_id: 0, received: AttachResponse::default() }
    }

    /// Sends a request and does not wait for the answer.
    pub(crate) async fn request(&self, request: AttachRequest) {
        self.requests.send(request).await.unwrap();
    }

    /// Creates a message to send, with a request id of its own.
    pub(crate) fn draft(&mut self, room_id: i64, sender_id: i64, key: &str, content: &str) -> Send {
        self.last_request_id += 1;
        Send {
            request_id: self.last_request_id,
            room_id,
            sender_id,
            sender_name: format!("user{sender_id}"),
            content: content.into(),
            idempotency_key: key.into(),
            traceparent: String::new(),
            deadline_us: 0,
        }
    }

    pub(crate) async fn send(
        &mut self,
        room_id: i64,
        sender: i64,
        key: &str,
        content: &str,
    ) -> SendResult {
        let draft = self.draft(room_id, sender, key, content);
        self.send_batch(vec![draft]).await.remove(0)
    }

    /// Stores a message of the room's owner.
    pub(crate) async fn store(&mut self, room_id: i64, key: &str) -> Message {
        self.send(room_id, crate::app::OWNER, key, key).await.unwrap().message.unwrap()
    }

    /// Stores many messages of the room's owner in one request.
    pub(crate) async fn store_many(
        &mut self,
        room_id: i64,
        keys: impl IntoIterator<Item = String>,
    ) {
        let drafts = keys
            .into_iter()
            .map(|key| self.draft(room_id, crate::app::OWNER, &key, &key))
            .collect();
        for result in self.send_batch(drafts).await {
            result.unwrap();
        }
    }

    /// Sends messages in one request. Returns the answers in the order of the messages.
    pub(crate) async fn send_batch(&mut self, sends: Vec<Send>) -> Vec<SendResult> {
        self.send_batch_at(0, sends).await
    }

    /// Sends messages in one request, this many microseconds after the stream was opened.
    pub(crate) async fn send_batch_at(
        &mut self,
        sent_at_us: u64,
        sends: Vec<Send>,
    ) -> Vec<SendResult> {
        let ids: Vec<u64> = sends.iter().map(|send| send.request_id).collect();
        self.request(AttachRequest { sends, sent_at_us, ..AttachRequest::default() }).await;
        let mut results = Vec::with_capacity(ids.len());
        for id in ids {
            results.push(match self.answer(id).await {
                Outcome::Sent(sent) => Ok(sent),
                other => Err(error_code(other)),
            });
        }
        results
    }

    pub(crate) async fn subscribe(
        &mut self,
        room_id: i64,
        user_id: i64,
    ) -> Result<Subscribed, ErrorCode> {
        self.last_request_id += 1;
        let request_id = self.last_request_id;
        let subscribes = vec![Subscribe { request_id, room_id, user_id }];
        self.request(AttachRequest { subscribes, ..AttachRequest::default() }).await;
        match self.answer(request_id).await {
            Outcome::Subscribed(start) => Ok(start),
            other => Err(error_code(other)),
        }
    }

    pub(crate) async fn release(&self, room_id: i64) {
        self.request(AttachRequest {
            released_room_ids: vec![room_id],
            ..AttachRequest::default()
        })
        .await;
    }

    pub(crate) async fn show_typing(
        &mut self,
        room_id: i64,
        user_id: i64,
    ) -> Result<(), ErrorCode> {
        self.last_request_id += 1;
        let request_id = self.last_request_id;
        let username = format!("user{user_id}");
        let typings = vec![Typing { request_id, room_id, user_id, username, origin: 7 }];
        self.request(AttachRequest { typings, ..AttachRequest::default() }).await;
        match self.answer(request_id).await {
            Outcome::TypingShown(_) => Ok(()),
            other => Err(error_code(other)),
        }
    }

    async fn answer(&mut self, request_id: u64) -> Outcome {
        let is_it = |answer: &Answer| answer.request_id == request_id;
        self.wait("an answer", |received| received.answers.iter().any(is_it)).await;
        let place = self.received.answers.iter().position(is_it).unwrap();
        self.received.answers.remove(place).outcome.unwrap()
    }

    /// Receives responses until the condition is true.
    pub(crate) async fn wait(
        &mut self,
        what: &str,
        mut condition: impl FnMut(&AttachResponse) -> bool,
    ) {
        while !condition(&self.received) {
            let response = timeout(WAIT_TIMEOUT, self.next()).await;
            let response = response.unwrap_or_else(|_| unreachable!("timeout: {what}"));
            self.collect(response.unwrap());
        }
    }

    /// Waits for the event with this number.
    pub(crate) async fn wait_for_event(&mut self, room_id: i64, seq: i64) -> Event {
        let is_it = |event: &Event| event.room_id == room_id && event.seq == seq;
        self.wait("an event", |received| received.events.iter().any(is_it)).await;
        self.received.events.iter().find(|event| is_it(event)).unwrap().clone()
    }

    /// Waits until the replica reports this `last_seq`.
    pub(crate) async fn wait_for_last_seq(&mut self, room_id: i64, last_seq: i64) {
        let expected = RoomLastSeq { room_id, last_seq };
        self.wait("a last_seq", |received| received.last_seqs.contains(&expected)).await;
    }

    /// Waits until the replica delivers the event with this number or a later one, or reports it.
    pub(crate) async fn wait_for_last_seq_or_event(&mut self, room_id: i64, seq: i64) {
        let is_known = |received: &AttachResponse| {
            received.events.iter().any(|event| event.room_id == room_id && event.seq >= seq)
                || received
                    .last_seqs
                    .iter()
                    .any(|room| room.room_id == room_id && room.last_seq >= seq)
        };
        self.wait("an event or a last_seq", is_known).await;
    }

    /// Receives responses until the stream ends. Returns the error code of the end, if any.
    pub(crate) async fn end(&mut self) -> Option<ErrorCode> {
        loop {
            match timeout(WAIT_TIMEOUT, self.next()).await.unwrap() {
                Ok(response) => self.collect(response),
                Err(code) => return code,
            }
        }
    }

    /// Closes the gateway's side. Responses can still be received.
    pub(crate) fn close(&mut self) {
        self.requests = mpsc::channel(1).0;
    }

    /// Receives the next response, or the code of the end.
    pub(crate) async fn next(&mut self) -> Result<AttachResponse, Option<ErrorCode>> {
        match self.responses.message().await {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(None),
            Err(status) => Err(Some(code_from_status(&status))),
        }
    }

    fn collect(&mut self, response: AttachResponse) {
        self.received.events.extend(response.events);
        self.received.ends.extend(response.ends);
        self.received.answers.extend(response.answers);
        self.received.last_seqs.extend(response.last_seqs);
        self.received.going_away |= response.going_away;
    }
}

/// Returns the numbers of a room's stored events in the order of arrival.
pub(crate) fn seqs(events: &[Event], room_id: i64) -> Vec<i64> {
    events
        .iter()
        .filter(|event| event.room_id == room_id && event.seq > 0)
        .map(|event| event.seq)
        .collect()
}

/// Describes an event: `created x`, `edited x`, `deleted 3`, `typing user2`.
pub(crate) fn describe(event: &Event) -> String {
    match event.kind.as_ref().unwrap() {
        Kind::Created(message) => format!("created {}", message.content),
        Kind::Edited(message) => format!("edited {}", message.content),
        Kind::DeletedMessageId(id) => format!("deleted {id}"),
        Kind::Typing(user) => format!("typing {}", user.username),
    }
}

fn error_code(result: Outcome) -> ErrorCode {
    match result {
        Outcome::Error(name) => ErrorCode::from_name(&name).unwrap(),
        other => unreachable!("unexpected answer: {other:?}"),
    }
}
