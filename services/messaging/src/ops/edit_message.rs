//! Editing a message.

use parlance_core::{MessageContent, MessageId, UserId};

use super::change_message::{Allowed, change_message, deliver};
use crate::app::App;
use crate::error::Error;
use crate::model::{EventKind, Message};

/// Gives a message new content. Returns the message afterwards and the number of the change.
pub(crate) async fn edit_message(
    app: &App,
    user_id: UserId,
    message_id: MessageId,
    content: &MessageContent,
) -> Result<(Message, i64), Error> {
    let (message, seq) =
        change_message(app, user_id, message_id, Some(content.as_str()), Allowed::Sender).await?;
    deliver(app, &message, seq, EventKind::Edited(message.clone()));
    Ok((message, seq))
}
