//! `Attach`: the one stream between a gateway and this replica.

use futures_util::stream::{self, BoxStream, StreamExt};
use parlance_core::{ErrorCode, RoomId, UserId};
use parlance_proto::messaging::{Answer, AttachRequest, AttachResponse, Send, Subscribe, Typing};
use parlance_runtime::Lifecycle;
use parlance_runtime::error::status_from_code;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::encode;
use crate::app::App;
use crate::gateways::{LinkId, Outbox};
use crate::memberships::Question;
use crate::model::{Draft, TypingUser};
use crate::writer::Job;
use crate::{ops, steps};

/// Takes a gateway in: its requests are handled by a task of their own, and the stream carries what
/// there is to tell it.
pub(super) fn attach(
    app: &App,
    requests: Streaming<AttachRequest>,
    lifecycle: &Lifecycle,
) -> BoxStream<'static, Result<AttachResponse, Status>> {
    let outbox = app.gateways.attach();
    let link = Link { app: app.clone(), id: outbox.id, lifecycle: lifecycle.clone() };
    let cut = outbox.cut().clone();
    lifecycle.spawn(async move {
        // A cut ends the stream towards the gateway; its requests are not read any more.
        cut.run_until_cancelled(link.read(requests)).await;
        link.detach().await;
    });
    outgoing(outbox)
}

/// The batches of an outbox as a stream that ends with `unavailable`, so that the gateway attaches
/// again.
fn outgoing(outbox: Outbox) -> BoxStream<'static, Result<AttachResponse, Status>> {
    let batches = stream::unfold(outbox, |mut outbox| async move {
        let batch = outbox.next().await?;
        Some((Ok(batch), outbox))
    });
    let end = stream::once(async { Err(status_from_code(ErrorCode::Unavailable, None)) });
    batches.chain(end).boxed()
}

/// One attached gateway, as seen by the task that reads its requests.
struct Link {
    app: App,
    id: LinkId,
    lifecycle: Lifecycle,
}

impl Link {
    /// Handles requests until the gateway closes its side.
    async fn read(&self, mut requests: Streaming<AttachRequest>) {
        loop {
            match requests.message().await {
                Ok(Some(request)) => self.handle(request),
                Ok(None) => return,
                Err(status) => {
                    tracing::debug!(error = status.message(), "a gateway is gone");
                    return;
                }
            }
        }
    }

    async fn detach(&self) {
        ops::release(&self.app, self.app.gateways.detach(self.id)).await;
    }

    /// Starts everything a batch asks for, in its order. Nothing here waits.
    fn handle(&self, request: AttachRequest) {
        let received_at = Instant::now();
        for send in request.sends {
            self.app.writer.submit(self.job(send, received_at));
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

    fn job(&self, send: Send, received_at: Instant) -> Job {
        let draft = Draft {
            room_id: RoomId::new(send.room_id),
            sender_id: UserId::new(send.sender_id),
            sender_name: send.sender_name,
            key: send.idempotency_key,
            is_fresh: send.is_fresh,
            content: send.content,
        };
        let span = steps::store(&send.traceparent, draft.room_id);
        Job { draft, link: self.id, request_id: send.request_id, received_at, span, refused: None }
    }

    /// Listens to the rooms at once, so that nothing after the head is missed, and answers when the
    /// head is known.
    fn subscribe(&self, subscribes: Vec<Subscribe>) {
        let questions: Vec<Question> = subscribes
            .iter()
            .map(|subscribe| question(subscribe.room_id, subscribe.user_id))
            .collect();
        for question in &questions {
            self.app.gateways.listen(self.id, question.room_id);
        }
        let (app, id) = (self.app.clone(), self.id);
        self.lifecycle.spawn(async move {
            let outcomes = ops::subscribe(&app, questions).await;
            let answers =
                subscribes.iter().zip(outcomes).map(|(subscribe, outcome)| match outcome {
                    Ok(start) => {
                        encode::subscribed(subscribe.request_id, start.last_seq, start.room_version)
                    }
                    Err(code) => encode::refused(subscribe.request_id, code),
                });
            answer(&app, id, answers.collect());
        });
    }

    fn release(&self, room_ids: Vec<i64>) {
        let unheard: Vec<RoomId> = room_ids
            .into_iter()
            .map(RoomId::new)
            .filter(|&room_id| self.app.gateways.stop_listening(self.id, room_id))
            .collect();
        let app = self.app.clone();
        self.lifecycle.spawn(async move { ops::release(&app, unheard).await });
    }

    fn show_typing(&self, typings: Vec<Typing>) {
        let (app, id) = (self.app.clone(), self.id);
        self.lifecycle.spawn(async move {
            let questions =
                typings.iter().map(|typing| question(typing.room_id, typing.user_id)).collect();
            let request_ids: Vec<u64> = typings.iter().map(|typing| typing.request_id).collect();
            let users = typings.into_iter().map(|typing| TypingUser {
                user_id: UserId::new(typing.user_id),
                username: typing.username,
                origin: typing.origin,
            });
            let outcomes = ops::show_typing(&app, questions, users.collect()).await;
            let answers =
                request_ids.into_iter().zip(outcomes).map(|(request_id, outcome)| match outcome {
                    Ok(()) => encode::typing_shown(request_id),
                    Err(code) => encode::refused(request_id, code),
                });
            answer(&app, id, answers.collect());
        });
    }
}

fn question(room_id: i64, user_id: i64) -> Question {
    Question { room_id: RoomId::new(room_id), user_id: UserId::new(user_id) }
}

fn answer(app: &App, id: LinkId, answers: Vec<Answer>) {
    let answers = answers.into_iter().map(|answer| (id, answer)).collect();
    app.gateways.deliver(&[], answers);
}
