//! What editing and deleting have in common.

use parlance_core::{ErrorCode, MessageId, UserId};
use parlance_runtime::context::RequestContext;
use parlance_runtime::trace::SpanBuilder;

use crate::app::App;
use crate::encode;
use crate::error::Error;
use crate::model::{Event, EventKind, Message};
use crate::store::messages::{self, Change};

/// The users who may change a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    Sender,
    SenderOrOwner,
}

/// Edits (with content) or deletes (without) a message, after checking that it exists and that the
/// user may change it.
pub(super) async fn change_message(
    app: &App,
    user_id: UserId,
    message_id: MessageId,
    content: Option<&str>,
    allowed: Allowed,
) -> Result<Change, Error> {
    let origin = messages::find_origin(&mut *app.pool.acquire().await?, message_id).await?;
    let origin = origin.ok_or(ErrorCode::MessageNotFound)?;
    let membership = app.memberships.check(origin.room_id, user_id).await.map_err(hide_room)?;
    let is_allowed =
        origin.sender_id == user_id || (allowed == Allowed::SenderOrOwner && membership.is_owner);
    if !is_allowed {
        return Err(ErrorCode::NotTheSender.into());
    }
    let mut conn = app.pool.acquire().await?;
    let changed = messages::change(&mut conn, origin.room_id, message_id, content).await?;
    Ok(changed.ok_or(ErrorCode::MessageNotFound)?)
}

/// A user who is not a member does not learn that the message exists.
fn hide_room(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::NotAMember | ErrorCode::RoomNotFound => ErrorCode::MessageNotFound,
        other => other,
    }
}

/// Delivers the event of a change. The trace of the call continues in it.
pub(super) fn deliver(app: &App, message: &Message, seq: i64, kind: EventKind) {
    let span = RequestContext::start_span(|| SpanBuilder::producer("deliver change"));
    let event = Event { room_id: message.room_id, seq, kind, traceparent: span.traceparent() };
    let events = [encode::event(event)];
    app.streams.deliver(&events, Vec::new());
    app.pubsub.publish(&events);
}
