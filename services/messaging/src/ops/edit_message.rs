//! Editing a message.

use parlance_core::{MessageContent, MessageId, UserId};

use super::change_message::{Allowed, change_message, deliver};
use crate::app::App;
use crate::error::Error;
use crate::model::{EventKind, Message};
use crate::store::messages::Change;

/// Gives a message new content. Returns the message afterwards and the number of its last change.
/// An edit to the content that the message has changes nothing: it takes no number, and there is no
/// event.
pub(crate) async fn edit_message(
    app: &App,
    user_id: UserId,
    message_id: MessageId,
    content: &MessageContent,
) -> Result<(Message, i64), Error> {
    let Change { message, seq, is_changed } =
        change_message(app, user_id, message_id, Some(content.as_str()), Allowed::Sender).await?;
    if is_changed {
        deliver(app, &message, seq, EventKind::Edited(message.clone()));
    }
    Ok((message, seq))
}
