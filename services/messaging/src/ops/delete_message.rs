//! Deleting a message.

use parlance_core::{MessageId, RoomId, UserId};

use super::change_message::{Allowed, change_message, deliver};
use crate::app::App;
use crate::error::Error;
use crate::model::EventKind;
use crate::store::messages::Change;

/// Deletes a message. Returns its room and the number of the change.
pub(crate) async fn delete_message(
    app: &App,
    user_id: UserId,
    message_id: MessageId,
) -> Result<(RoomId, i64), Error> {
    let Change { message, seq, .. } =
        change_message(app, user_id, message_id, None, Allowed::SenderOrOwner).await?;
    deliver(app, &message, seq, EventKind::Deleted(message_id));
    Ok((message.room_id, seq))
}
