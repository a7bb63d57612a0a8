//! Reading what changed in a room, for catching up and for filling holes.

use parlance_core::RoomId;

use crate::app::App;
use crate::error::Error;
use crate::model::Event;
use crate::store::messages;

/// The most events in one answer: a few megabytes when all of them are as long as can be.
const MAX_EVENTS: i64 = 200;

/// Changes in `seq` order.
pub(crate) struct Changes {
    pub(crate) events: Vec<Event>,
    /// Up to here nothing is missing.
    pub(crate) complete_up_to: i64,
}

/// The changes above `after_seq` and up to `up_to_seq`, or the first of them.
pub(crate) async fn read_changes(
    app: &App,
    room_id: RoomId,
    after_seq: i64,
    up_to_seq: i64,
) -> Result<Changes, Error> {
    let mut conn = app.pool.acquire().await?;
    let events = messages::changes(&mut conn, room_id, after_seq, up_to_seq, MAX_EVENTS).await?;
    let is_cut_off = events.len() as i64 == MAX_EVENTS;
    let complete_up_to = match events.last() {
        Some(last) if is_cut_off => last.seq,
        _ => up_to_seq,
    };
    Ok(Changes { events, complete_up_to })
}
