//! Reading the changes of a room, for replay and backfill.

use parlance_core::RoomId;

use crate::app::App;
use crate::error::Error;
use crate::model::Event;
use crate::store::messages;

/// The maximum number of events in one response: about 3 MB with the longest contents.
const MAX_EVENTS: i64 = 200;

/// Changes in `seq` order.
pub(crate) struct Changes {
    pub(crate) events: Vec<Event>,
    /// No change up to this `seq` is missing.
    pub(crate) complete_up_to: i64,
}

/// Returns the changes above `after_seq` and up to `up_to_seq`, or the first of them.
pub(crate) async fn read_changes(
    app: &App,
    room_id: RoomId,
    after_seq: i64,
    up_to_seq: i64,
) -> Result<Changes, Error> {
    let mut conn = app.pool.acquire().await?;
    let events =
        messages::read_changes(&mut conn, room_id, after_seq, up_to_seq, MAX_EVENTS).await?;
    let is_truncated = events.len() as i64 == MAX_EVENTS;
    let complete_up_to = match events.last() {
        Some(last) if is_truncated => last.seq,
        _ => up_to_seq,
    };
    Ok(Changes { events, complete_up_to })
}
