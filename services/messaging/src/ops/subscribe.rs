//! Beginning and ending to listen to rooms.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::join_all;
use parlance_core::{ErrorCode, RoomId};
use parlance_runtime::postgres;
use sqlx::PgPool;

use crate::app::App;
use crate::memberships::Question;
use crate::store::room_heads;

/// After this time nobody waits for the answer any more.
const READ_LIMIT: Duration = Duration::from_secs(2);

/// Where live delivery begins for one subscriber.
pub(crate) struct Start {
    /// Everything above this comes as an event.
    pub(crate) last_seq: i64,
    /// The room's membership version at which the user was a member.
    pub(crate) room_version: i64,
}

/// Answers for each subscriber where live delivery begins, or why it does not. The gateway listens
/// to the rooms already; the heads are read only after Redis has confirmed, so that whatever is
/// committed above them is heard.
pub(crate) async fn subscribe(
    app: &App,
    questions: Vec<Question>,
) -> Vec<Result<Start, ErrorCode>> {
    let rooms: HashSet<RoomId> = questions.iter().map(|question| question.room_id).collect();
    let confirmations = join_all(rooms.iter().map(|&room_id| app.bus.subscribe(room_id)));
    let count = questions.len();
    let (answers, _) = tokio::join!(app.memberships.check_all(questions.clone()), confirmations);
    let answers = match answers {
        Ok(answers) => answers,
        Err(code) => return (0..count).map(|_| Err(code)).collect(),
    };

    let room_ids: Vec<RoomId> = rooms.into_iter().collect();
    let heads = read_heads(&app.pool, &room_ids).await;
    let starts = questions.iter().zip(answers).map(|(question, answer)| {
        let membership = answer?;
        let heads = heads.as_ref().map_err(|&code| code)?;
        let last_seq = heads.get(&question.room_id).copied().unwrap_or(0);
        Ok(Start { last_seq, room_version: membership.room_version })
    });
    starts.collect()
}

/// Lets Redis forget rooms that nobody listens to any more.
pub(crate) async fn release(app: &App, room_ids: Vec<RoomId>) {
    for room_id in room_ids {
        app.bus.unsubscribe_if_unheard(room_id).await;
    }
}

async fn read_heads(pool: &PgPool, room_ids: &[RoomId]) -> Result<HashMap<RoomId, i64>, ErrorCode> {
    let read = tokio::time::timeout(READ_LIMIT, room_heads::read(pool, room_ids))
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut));
    read.map_err(|error| {
        tracing::warn!(
            error = parlance_runtime::error::chain(&error),
            "the heads of rooms could not be read"
        );
        postgres::code_from_error(&error)
    })
}
