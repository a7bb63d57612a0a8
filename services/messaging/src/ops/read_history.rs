//! Reading pages of a room's history.

use parlance_core::{RoomId, UserId};

use crate::app::App;
use crate::error::Error;
use crate::model::Message;
use crate::store::messages;

/// The most messages in a page.
const MAX_LIMIT: u32 = 100;

/// Where a page lies.
#[derive(Clone, Copy)]
pub(crate) enum From {
    /// At the end.
    Newest,
    /// Right before this id, which need not exist.
    Before(i64),
    /// Right after this id, which need not exist.
    After(i64),
}

/// Messages in ascending order.
pub(crate) struct Page {
    pub(crate) messages: Vec<Message>,
    /// Whether there are more in the direction of reading.
    pub(crate) has_more: bool,
}

/// Reads a page for a member of the room.
pub(crate) async fn read_history(
    app: &App,
    acting: UserId,
    room_id: RoomId,
    from: From,
    limit: u32,
) -> Result<Page, Error> {
    app.memberships.check(room_id, acting).await?;
    let limit = limit.clamp(1, MAX_LIMIT);
    // One more than asked for shows whether there are more.
    let one_more = i64::from(limit) + 1;
    let mut conn = app.pool.acquire().await?;
    let mut messages = match from {
        From::Newest => messages::page_before(&mut conn, room_id, None, one_more).await?,
        From::Before(id) => messages::page_before(&mut conn, room_id, Some(id), one_more).await?,
        From::After(id) => messages::page_after(&mut conn, room_id, id, one_more).await?,
    };
    let has_more = messages.len() > limit as usize;
    messages.truncate(limit as usize);
    if !matches!(from, From::After(_)) {
        messages.reverse();
    }
    Ok(Page { messages, has_more })
}
