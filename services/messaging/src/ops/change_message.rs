//! Editing and deleting a message.

use parlance_core::{ErrorCode, MessageContent, MessageId, RoomId, UserId};
use parlance_runtime::context::RequestContext;
use parlance_runtime::trace::SpanBuilder;

use crate::app::App;
use crate::error::Error;
use crate::model::{Event, EventKind, Message};
use crate::store::messages;

/// Who may change a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowed {
    Sender,
    SenderOrOwner,
}

/// Gives a message new content; the message afterwards and the number of the change.
pub(crate) async fn edit_message(
    app: &App,
    acting: UserId,
    message_id: MessageId,
    content: &MessageContent,
) -> Result<(Message, i64), Error> {
    let (message, seq) =
        change(app, acting, message_id, Some(content.as_str()), Allowed::Sender).await?;
    tell(app, message.room_id, seq, EventKind::Edited(message.clone()));
    Ok((message, seq))
}

/// Deletes a message; its room and the number of the change.
pub(crate) async fn delete_message(
    app: &App,
    acting: UserId,
    message_id: MessageId,
) -> Result<(RoomId, i64), Error> {
    let (message, seq) = change(app, acting, message_id, None, Allowed::SenderOrOwner).await?;
    tell(app, message.room_id, seq, EventKind::Deleted(message_id));
    Ok((message.room_id, seq))
}

/// Checks that the message is there, that the acting user may see it, and that the acting user may
/// change it; then changes it.
async fn change(
    app: &App,
    acting: UserId,
    message_id: MessageId,
    content: Option<&str>,
    allowed: Allowed,
) -> Result<(Message, i64), Error> {
    let place = messages::place(&mut *app.pool.acquire().await?, message_id).await?;
    let place = place.ok_or(ErrorCode::MessageNotFound)?;
    let membership = app.memberships.check(place.room_id, acting).await.map_err(hide_room)?;
    let may_change =
        place.sender_id == acting || (allowed == Allowed::SenderOrOwner && membership.is_owner);
    if !may_change {
        return Err(ErrorCode::NotTheSender.into());
    }
    let changed =
        messages::change(&mut *app.pool.acquire().await?, place.room_id, message_id, content)
            .await?;
    Ok(changed.ok_or(ErrorCode::MessageNotFound)?)
}

/// Who is no member does not learn that the message exists.
fn hide_room(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::NotAMember | ErrorCode::RoomNotFound => ErrorCode::MessageNotFound,
        other => other,
    }
}

fn tell(app: &App, room_id: RoomId, seq: i64, kind: EventKind) {
    // Whoever is told goes on with the trace of the call.
    let step = RequestContext::start_span(|| SpanBuilder::producer("tell gateways"));
    let event = Event { room_id, seq, kind, traceparent: step.traceparent() };
    app.gateways.deliver(std::slice::from_ref(&event), Vec::new());
    app.bus.publish(&[event]);
}
