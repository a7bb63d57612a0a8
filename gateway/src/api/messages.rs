//! Reading, sending, editing and deleting messages.

use bytes::Bytes;
use http::StatusCode;
use parlance_core::{MessageContent, MessageId, RoomId};
use parlance_proto::messaging::history_question::From as PageFrom;
use parlance_proto::messaging::{DeleteMessageRequest, EditMessageRequest, HistoryQuestion};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::dto::{ClientMessageId, Message, UsersById, user_of};
use crate::api::extract::{Caller, Valid};
use crate::api::input::{FromInput, Input, Invalid};
use crate::api::request_body::request_body;
use crate::api::response::{Encoded, required};
use crate::app::App;
use crate::cache::newest_pages::Page;
use crate::error::ApiError;

/// The number of messages of a page, by default and at most.
const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 100;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(history))
        .routes(routes!(send))
        .routes(routes!(edit, delete))
}

request_body! {
    /// A message to send.
    struct NewMessage {
        /// 1 to 16,384 bytes of UTF-8, not only white space, without NUL.
        #[schema(value_type = String, min_length = 1, max_length = 16384)]
        content: MessageContent = content(),
        /// The client's idempotency key, unique among its messages in the room. A message whose
        /// key is known is not stored again.
        #[schema(value_type = String, min_length = 1, max_length = 64, required = false)]
        client_msg_id: Option<ClientMessageId> = optional(ClientMessageId::parse),
    }
}

request_body! {
    /// The new content of a message.
    struct NewContent {
        /// 1 to 16,384 bytes of UTF-8, not only white space, without NUL.
        #[schema(value_type = String, min_length = 1, max_length = 16384)]
        content: MessageContent = content(),
    }
}

/// The page of history that a client wants.
struct HistoryQuery {
    room_id: RoomId,
    limit: i64,
    from: Option<PageFrom>,
}

impl FromInput for HistoryQuery {
    fn from_input(input: &mut Input) -> Result<Self, Invalid> {
        let room_id = RoomId::from_input(input);
        let limit = input.query_integer("limit", 1..=MAX_LIMIT);
        let from = page_from(input);
        Ok(Self { room_id: room_id?, limit: limit?.unwrap_or(DEFAULT_LIMIT), from: from? })
    }
}

fn page_from(input: &mut Input) -> Result<Option<PageFrom>, Invalid> {
    match (input.query_id("before_id"), input.query_id("after_id")) {
        (Ok(Some(_)), Ok(Some(_))) => {
            Err(input.reject_query("after_id", "before_id and after_id cannot be given together"))
        }
        (Ok(before_id), Ok(after_id)) => {
            Ok(before_id.map(PageFrom::BeforeId).or(after_id.map(PageFrom::AfterId)))
        }
        _ => Err(Invalid),
    }
}

/// A page of messages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History<'a> {
    /// Oldest first.
    messages: Vec<Message<'a>>,
    /// True if there are more in the direction of reading.
    has_more: bool,
}

/// Returns a page of a room's messages, oldest first. Without parameters these are the newest
/// messages, else the ones next before `before_id` or next after `after_id`.
#[utoipa::path(
    get, path = "/v1/messages/rooms/{room_id}/history", tag = "messages", security(("bearer" = [])),
    params(
        ("room_id" = i64, Path, minimum = 1),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "50 by default"),
        (
            "before_id" = Option<i64>, Query, minimum = 1,
            description = "Only older messages; need not exist",
        ),
        (
            "after_id" = Option<i64>, Query, minimum = 1,
            description = "Only newer messages; not together with `before_id`",
        ),
    ),
    responses(
        (status = 200, description = "The page", body = History),
        (status = 403, description = "`not_a_member`"),
        (status = 404, description = "`room_not_found`"),
    ),
)]
async fn history(caller: Caller, Valid(query): Valid<HistoryQuery>) -> Result<Encoded, ApiError> {
    let question = HistoryQuestion {
        acting_user_id: caller.id(),
        room_id: query.room_id.get(),
        limit: u32::try_from(query.limit).unwrap_or(u32::MAX),
        from: query.from,
        known_last_seq: None,
    };
    let page = caller.app.newest_pages.page(question).await?;
    let senders = caller.app.users.by_ids(page.senders.iter().copied()).await?;
    Ok(Encoded(page.encoded(&senders, |page| encode(page, &senders))?))
}

fn encode(page: &Page, senders: &UsersById) -> Result<Bytes, ApiError> {
    let messages = page.messages.iter();
    let messages = messages
        .map(|message| Ok(Message::from((message, user_of(senders, message.sender_id)?))))
        .collect::<Result<_, ApiError>>()?;
    Ok(Encoded::new(&History { messages, has_more: page.has_more })?.0)
}

/// Sends a message without a WebSocket.
#[utoipa::path(
    post, path = "/v1/messages/rooms/{room_id}", tag = "messages", security(("bearer" = [])),
    params(("room_id" = i64, Path, minimum = 1)),
    request_body = NewMessage,
    responses(
        (status = 201, description = "The message was stored", body = Message),
        (status = 200, description = "The message stored first with this key", body = Message),
        (status = 403, description = "`not_a_member`"),
        (status = 404, description = "`room_not_found`"),
        (status = 429, description = "`rate_limited`: too many messages of the caller wait"),
    ),
)]
async fn send(
    caller: Caller,
    Valid((room_id, body)): Valid<(RoomId, NewMessage)>,
) -> Result<(StatusCode, Encoded), ApiError> {
    // The sender is looked up first: no step may fail once the message is stored.
    let sender = caller.app.users.for_token(caller.identity.user_id).await?;
    let NewMessage { content, client_msg_id } = body;
    let permit = caller.app.limits.user_share(caller.identity.user_id).begin_or_refuse()?;
    let has_key = client_msg_id.is_some();
    let sent = caller
        .app
        .messaging_client
        .send(room_id, &caller.identity, content, client_msg_id.as_ref(), permit)
        .await?;
    // Without a key of the client, only the gateway itself has sent it before.
    let is_repeated = sent.duplicate && has_key;
    let status = if is_repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Encoded::new(&Message::from((&sent.message, &*sender)))?))
}

/// Changes the content of one of the caller's messages.
#[utoipa::path(
    patch, path = "/v1/messages/{message_id}", tag = "messages", security(("bearer" = [])),
    params(("message_id" = i64, Path, minimum = 1)),
    request_body = NewContent,
    responses(
        (status = 200, description = "The message afterwards", body = Message),
        (status = 403, description = "`not_the_sender`"),
        (status = 404, description = "`message_not_found`"),
    ),
)]
async fn edit(
    caller: Caller,
    Valid((message_id, body)): Valid<(MessageId, NewContent)>,
) -> Result<Encoded, ApiError> {
    // Only the sender may edit a message, so the caller is the sender. The sender is looked up
    // first: no step may fail once the message has changed.
    let sender = caller.app.users.for_token(caller.identity.user_id).await?;
    let request = EditMessageRequest {
        acting_user_id: caller.id(),
        message_id: message_id.get(),
        content: body.content.into_string(),
    };
    let answer = caller.app.messaging.clone().edit_message(request).await?.into_inner();
    Encoded::new(&Message::from((&required(answer.message)?, &*sender)))
}

/// Deletes a message. The caller must be its sender or own the room.
#[utoipa::path(
    delete, path = "/v1/messages/{message_id}", tag = "messages", security(("bearer" = [])),
    params(("message_id" = i64, Path, minimum = 1)),
    responses(
        (status = 204, description = "The message was deleted"),
        (status = 403, description = "`not_the_sender`"),
        (status = 404, description = "`message_not_found`"),
    ),
)]
async fn delete(
    caller: Caller,
    Valid(message_id): Valid<MessageId>,
) -> Result<StatusCode, ApiError> {
    let request =
        DeleteMessageRequest { acting_user_id: caller.id(), message_id: message_id.get() };
    caller.app.messaging.clone().delete_message(request).await?;
    Ok(StatusCode::NO_CONTENT)
}
