//! Reading, sending, editing and deleting messages.

use axum::extract::State;
use http::StatusCode;
use parlance_proto::messaging::history_question::From as PageFrom;
use parlance_proto::messaging::{self, DeleteMessageRequest, EditMessageRequest, HistoryQuestion};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::dto::{ClientMessageId, Message, UsersById, user_of};
use crate::api::extract::{Caller, JsonInput};
use crate::api::input::{Input, Invalid};
use crate::api::{Encoded, present};
use crate::app::App;
use crate::cache::newest_pages::Page;
use crate::error::{ApiError, ErrorBody};

/// How many messages a page has unless the client says so.
const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 100;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(history))
        .routes(routes!(send))
        .routes(routes!(edit, delete))
}

/// A message to be sent.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the body; its fields are read one by one, so that all that is wrong is told"
)]
struct NewMessage {
    /// 1 to 16,384 bytes of UTF-8, not only white space, without NUL.
    #[schema(min_length = 1, max_length = 16384)]
    content: String,
    /// A key of the client's choice, unique among its messages in the room: sending it again stores
    /// nothing new.
    #[schema(min_length = 1, max_length = 64, nullable = false, value_type = String, required = false)]
    client_msg_id: Option<String>,
}

/// The new content of a message.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the body; its fields are read one by one, so that all that is wrong is told"
)]
struct NewContent {
    /// 1 to 16,384 bytes of UTF-8, not only white space, without NUL.
    #[schema(min_length = 1, max_length = 16384)]
    content: String,
}

/// A page of messages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History<'a> {
    /// Oldest first.
    #[schema(value_type = Vec<Message>)]
    messages: Vec<Message<'a>>,
    /// Whether there are more in the direction of reading.
    has_more: bool,
}

/// A page of a room's messages, oldest first: the newest ones, those right before `before_id`, or
/// those right after `after_id`.
#[utoipa::path(
    get, path = "/v1/messages/rooms/{room_id}/history", tag = "messages", security(("bearer" = [])),
    params(
        ("room_id" = i64, Path, minimum = 1),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "50 by default"),
        ("before_id" = Option<i64>, Query, minimum = 1, description = "Only older messages; need not exist"),
        ("after_id" = Option<i64>, Query, minimum = 1, description = "Only newer messages; not together with `before_id`"),
    ),
    responses(
        (status = 200, description = "The page", body = History),
        (status = 403, description = "`not_a_member`", body = ErrorBody),
        (status = 404, description = "`room_not_found`", body = ErrorBody),
    ),
)]
async fn history(
    State(app): State<App>,
    Caller(session): Caller,
    mut input: Input,
) -> Result<Encoded, ApiError> {
    let room_id = input.room_id();
    let limit =
        input.query_integer("limit", 1..=MAX_LIMIT).map(|limit| limit.unwrap_or(DEFAULT_LIMIT));
    let from = page_from(&mut input);
    let (Ok(room_id), Ok(limit), Ok(from)) = (room_id, limit, from) else {
        return Err(input.refusal());
    };

    let question = HistoryQuestion {
        acting_user_id: session.user_id.get(),
        room_id: room_id.get(),
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
        from,
        known_last_seq: None,
    };
    let page = app.histories.page(question).await?;
    let senders = app.users.by_ids(page.senders.iter().copied()).await?;
    let encode = |page: &Page| {
        let with_sender = |message| with_sender(message, &senders);
        let messages = page.messages.iter().map(with_sender).collect::<Result<_, _>>()?;
        Ok(Encoded::of(&History { messages, has_more: page.has_more })?.0)
    };
    Ok(Encoded(page.encoded(&senders, encode)?))
}

fn with_sender<'a>(
    message: &'a messaging::Message,
    senders: &'a UsersById,
) -> Result<Message<'a>, ApiError> {
    Ok(Message::from((message, user_of(senders, message.sender_id)?)))
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

/// Sends a message, for those who have no socket.
#[utoipa::path(
    post, path = "/v1/messages/rooms/{room_id}", tag = "messages", security(("bearer" = [])),
    params(("room_id" = i64, Path, minimum = 1)),
    request_body = NewMessage,
    responses(
        (status = 201, description = "The message was stored", body = Message),
        (status = 200, description = "The `client_msg_id` was seen before; this is the first message", body = Message),
        (status = 403, description = "`not_a_member`", body = ErrorBody),
        (status = 404, description = "`room_not_found`", body = ErrorBody),
    ),
)]
async fn send(
    State(app): State<App>,
    Caller(session): Caller,
    JsonInput(mut input): JsonInput,
) -> Result<(StatusCode, Encoded), ApiError> {
    let (room_id, content) = (input.room_id(), input.content());
    let client_msg_id = input.optional("client_msg_id", ClientMessageId::parse);
    let (Ok(room_id), Ok(content), Ok(client_msg_id)) = (room_id, content, client_msg_id) else {
        return Err(input.refusal());
    };

    // The look-up comes first, so that nothing can fail once the message is stored.
    let sender = app.users.of_token(session.user_id).await?;
    let sent =
        app.messaging_client.send(room_id, &session, content, client_msg_id.as_ref()).await?;
    let status = if sent.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Encoded::of(&Message::from((&sent.message, &*sender)))?))
}

/// Changes the content of one's own message.
#[utoipa::path(
    patch, path = "/v1/messages/{message_id}", tag = "messages", security(("bearer" = [])),
    params(("message_id" = i64, Path, minimum = 1)),
    request_body = NewContent,
    responses(
        (status = 200, description = "The message afterwards", body = Message),
        (status = 403, description = "`not_the_sender`", body = ErrorBody),
        (status = 404, description = "`message_not_found`", body = ErrorBody),
    ),
)]
async fn edit(
    State(app): State<App>,
    Caller(session): Caller,
    JsonInput(mut input): JsonInput,
) -> Result<Encoded, ApiError> {
    let (message_id, content) = (input.message_id(), input.content());
    let (Ok(message_id), Ok(content)) = (message_id, content) else { return Err(input.refusal()) };

    // Only its sender edits a message. The look-up comes first, so that nothing can fail once the
    // message has changed.
    let sender = app.users.of_token(session.user_id).await?;
    let request = EditMessageRequest {
        acting_user_id: session.user_id.get(),
        message_id: message_id.get(),
        content: content.into_string(),
    };
    let answer = app.messaging.clone().edit_message(request).await?.into_inner();
    Encoded::of(&Message::from((&present(answer.message)?, &*sender)))
}

/// Deletes a message, as its sender or as the owner of the room.
#[utoipa::path(
    delete, path = "/v1/messages/{message_id}", tag = "messages", security(("bearer" = [])),
    params(("message_id" = i64, Path, minimum = 1)),
    responses(
        (status = 204, description = "The message is gone"),
        (status = 403, description = "`not_the_sender`", body = ErrorBody),
        (status = 404, description = "`message_not_found`", body = ErrorBody),
    ),
)]
async fn delete(
    State(app): State<App>,
    Caller(session): Caller,
    mut input: Input,
) -> Result<StatusCode, ApiError> {
    let Ok(message_id) = input.message_id() else { return Err(input.refusal()) };
    let request = DeleteMessageRequest {
        acting_user_id: session.user_id.get(),
        message_id: message_id.get(),
    };
    app.messaging.clone().delete_message(request).await?;
    Ok(StatusCode::NO_CONTENT)
}
