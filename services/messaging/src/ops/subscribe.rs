//! Starting and ending the live delivery of a room.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::join_all;
use parlance_core::{ErrorCode, RoomId};
use parlance_runtime::error::chain;
use parlance_runtime::postgres;

use crate::app::App;
use crate::clients::memberships::Check;
use crate::store::{room_heads, with_timeout};

/// After this time the gateway no longer waits for the answer.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Where live delivery starts for one subscriber.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    /// Every change above this one arrives as an event.
    pub(crate) last_seq: i64,
    /// The room's membership version at which the user was a member.
    pub(crate) room_version: i64,
}

/// Returns for each subscriber where live delivery starts, or why it does not. The stream of the
/// gateway subscribes to the rooms before. `last_seq` is read after Redis has confirmed, so that
/// every change above it is received.
pub(crate) async fn subscribe(app: &App, checks: Vec<Check>) -> Vec<Result<Start, ErrorCode>> {
    let rooms: HashSet<RoomId> = checks.iter().map(|check| check.room_id).collect();
    let confirmations = join_all(rooms.iter().map(|&room_id| app.pubsub.subscribe(room_id)));
    let (memberships, _) = tokio::join!(app.memberships.check_all(checks.clone()), confirmations);
    let last_seqs = read_last_seqs(app, rooms.into_iter().collect()).await;
    let starts = checks.iter().zip(memberships).map(|(check, membership)| {
        let membership = membership?;
        let last_seqs = last_seqs.as_ref().map_err(|&code| code)?;
        let last_seq = last_seqs.get(&check.room_id).copied().unwrap_or(0);
        Ok(Start { last_seq, room_version: membership.room_version })
    });
    starts.collect()
}

/// Unsubscribes in Redis from rooms that have no subscriber any more.
pub(crate) async fn unsubscribe_unused(app: &App, room_ids: Vec<RoomId>) {
    for room_id in room_ids {
        app.pubsub.unsubscribe_if_unused(room_id).await;
    }
}

async fn read_last_seqs(
    app: &App,
    room_ids: Vec<RoomId>,
) -> Result<HashMap<RoomId, i64>, ErrorCode> {
    let read = async { room_heads::read(&mut *app.vital_pool.acquire().await?, &room_ids).await };
    with_timeout(READ_TIMEOUT, read).await.map_err(|error| {
        tracing::warn!(error = chain(&error), "cannot read room_heads; refusing subscriptions");
        postgres::code_from_error(&error)
    })
}
