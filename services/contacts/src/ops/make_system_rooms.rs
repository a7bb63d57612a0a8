//! New contacts get their system room, even when the rooms service is away at that moment.
//!
//! The wish is written to the outbox in the transaction that makes the contact, tried once before
//! that call answers, and again by a background task until the rooms service has confirmed. Making
//! a room twice makes one room, so trying too often does no harm; the claims on rows only keep the
//! replicas from all doing the same.

use std::time::Duration;

use futures_util::future::join_all;
use parlance_runtime::error::chain;
use sqlx::PgConnection;
use tokio::time::{sleep, timeout};

use crate::app::App;
use crate::error::Error;
use crate::model::{Pair, UserPair, WantedRoom};
use crate::store::outbox;

/// Longer than a call to the rooms service may take. Together with the interval: the time between
/// two tries.
const CLAIM: Duration = Duration::from_millis(700);
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How many rooms are asked for at once.
const MAX_ROOMS_AT_ONCE: usize = 16;
const DATABASE_DEADLINE: Duration = Duration::from_secs(2);

/// Writes down that the two shall have a system room.
pub(super) async fn announce(
    conn: &mut PgConnection,
    users: UserPair,
) -> Result<WantedRoom, Error> {
    Ok(outbox::insert(conn, users, CLAIM).await?)
}

/// Makes rooms now if that is possible; otherwise the background task does it later.
pub(super) async fn try_at_once(app: &App, wanted: &[WantedRoom]) {
    if let Err(error) = make_rooms(app, wanted).await {
        tracing::warn!(error = chain(&error), "a system room could not be made yet");
    }
}

/// Makes the rooms of contacts who were found, before anybody is told of them. The call that made
/// them contacts may still be at it, on another replica: without this, one who sees a new contact
/// here could be refused as none by the rooms service. Where more are wanted than are made at once,
/// rooms was away for long, and the others follow in the background.
pub(super) async fn before_telling(app: &App, found: impl IntoIterator<Item = &Pair>) {
    let wanted = found.into_iter().filter_map(Pair::wanted_room);
    let wanted: Vec<WantedRoom> = wanted.take(MAX_ROOMS_AT_ONCE).collect();
    if !wanted.is_empty() {
        try_at_once(app, &wanted).await;
    }
}

/// Makes the rooms that are still wanted, again and again, until the process drains.
pub(crate) async fn run(app: App) -> anyhow::Result<()> {
    let draining = app.lifecycle.draining().clone();
    let rounds = async {
        loop {
            match round(&app).await {
                // There may be more that can be done at once.
                Ok(Progress::Full) => {}
                Ok(Progress::Empty) => sleep(POLL_INTERVAL).await,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "system rooms could not be made yet");
                    sleep(POLL_INTERVAL).await;
                }
            }
        }
    };
    draining.run_until_cancelled(rounds).await;
    Ok(())
}

enum Progress {
    /// As many rooms were made as one round makes.
    Full,
    /// Fewer were wanted.
    Empty,
}

async fn round(app: &App) -> Result<Progress, Error> {
    let wanted = claim(app).await?;
    if wanted.is_empty() {
        return Ok(Progress::Empty);
    }
    make_rooms(app, &wanted).await?;
    tracing::info!(rooms = wanted.len(), "system rooms were made that were still wanted");
    Ok(if wanted.len() == MAX_ROOMS_AT_ONCE { Progress::Full } else { Progress::Empty })
}

async fn claim(app: &App) -> Result<Vec<WantedRoom>, Error> {
    let claim = async {
        let mut conn = app.pool.acquire().await?;
        outbox::claim(&mut conn, MAX_ROOMS_AT_ONCE as i64, CLAIM).await
    };
    Ok(timeout(DATABASE_DEADLINE, claim).await.map_err(|_| Error::DatabaseTooSlow)??)
}

/// Asks for all rooms at once and crosses off those that were made. The error is that of one of the
/// others.
async fn make_rooms(app: &App, wanted: &[WantedRoom]) -> Result<(), Error> {
    let calls = wanted.iter().map(|wanted| app.rooms.ensure_system_room(wanted.users));
    let mut made = Vec::new();
    let mut outcome = Ok(());
    for (wanted, result) in wanted.iter().zip(join_all(calls).await) {
        match result {
            Ok(()) => made.push(wanted.id),
            Err(error) => outcome = Err(error),
        }
    }
    if !made.is_empty() {
        let delete = async {
            let mut conn = app.pool.acquire().await?;
            outbox::delete(&mut conn, &made).await
        };
        timeout(DATABASE_DEADLINE, delete).await.map_err(|_| Error::DatabaseTooSlow)??;
    }
    outcome
}
