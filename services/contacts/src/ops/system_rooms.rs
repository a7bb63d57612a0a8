//! The system rooms of new contacts, which are made even if the rooms service is down at that
//! moment.
//!
//! The transaction that makes the contact writes an outbox row. The request then tries once to make
//! the room, before it answers; `background::make_system_rooms` retries until the rooms service has
//! confirmed. Making a room is idempotent, so a repeated try does no harm: the claims on
//! outbox rows only keep the replicas from all doing the same work.

use std::time::Duration;

use futures_util::future::join_all;
use parlance_runtime::error::chain;
use tokio::time::timeout;

use crate::app::App;
use crate::error::Error;
use crate::model::{OutboxEntry, Pair};
use crate::store::outbox;

/// How long a replica has an outbox row to itself. Longer than a call to the rooms service takes.
pub(crate) const CLAIM_TIMEOUT: Duration = Duration::from_millis(700);
/// How many rooms are made at the same time.
pub(crate) const MAX_ROOMS_AT_ONCE: usize = 16;
pub(crate) const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Tries to make the rooms now. After a failure the background task makes them.
pub(super) async fn try_now(app: &App, entries: &[OutboxEntry]) {
    if let Err(error) = make_rooms(app, entries).await {
        tracing::warn!(error = chain(&error), "cannot make a system room yet; retrying");
    }
}

/// Tries to make the missing rooms of these pairs, before the pairs are shown to a client. The
/// replica that made the contact may not have made the room yet; a client that saw the contact here
/// could then be refused by the rooms service. At most [`MAX_ROOMS_AT_ONCE`] rooms are made; the
/// background task makes the others.
pub(super) async fn make_missing(app: &App, pairs: impl IntoIterator<Item = &Pair>) {
    let entries = pairs.into_iter().filter_map(Pair::outbox_entry);
    let entries: Vec<OutboxEntry> = entries.take(MAX_ROOMS_AT_ONCE).collect();
    if !entries.is_empty() {
        try_now(app, &entries).await;
    }
}

/// Makes all rooms at the same time and deletes the outbox rows of those made. After failures,
/// returns the last error.
pub(crate) async fn make_rooms(app: &App, entries: &[OutboxEntry]) -> Result<(), Error> {
    let calls = entries.iter().map(|entry| app.rooms.ensure_system_room(entry.users));
    let mut made = Vec::new();
    let mut result = Ok(());
    for (entry, called) in entries.iter().zip(join_all(calls).await) {
        match called {
            Ok(()) => made.push(entry.id),
            Err(error) => result = Err(error),
        }
    }
    if !made.is_empty() {
        let delete = async {
            let mut conn = app.pool.acquire().await?;
            outbox::delete(&mut conn, &made).await
        };
        timeout(DATABASE_TIMEOUT, delete).await.map_err(|_| Error::DatabaseTimeout)??;
    }
    result
}
