//! A herd: very many clients that come back at once, each with where it was, and try again until
//! they are live.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::crowd::seat;
use crate::api::{Api, Circle};
use crate::stats::Latencies;
use crate::wire::{CountingSocket, Socket};

/// After this whoever is not live is given up.
const DEADLINE: Duration = Duration::from_secs(120);
/// Before a client tries again.
const PAUSE: Duration = Duration::from_millis(200);

/// What the herd has seen.
#[derive(Debug)]
pub(crate) struct Tally {
    /// From the beginning to when each client was live.
    pub(crate) live_after: Latencies,
    /// Tries that failed; each of their clients became live later.
    pub(crate) failures: u64,
    /// The longest time from a client's first failure to when it was live.
    pub(crate) longest_failure: Duration,
}

/// What a client comes back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missed {
    /// The number of the last event that it had seen.
    pub(crate) after_seq: i64,
    /// Events since then.
    pub(crate) count: u64,
}

/// Lets so many clients come back at once; `missed` is by room, in the order of the circles.
/// Returns when all are live.
pub(crate) async fn come_back(
    api: Arc<Api>,
    circles: Arc<[Circle]>,
    missed: Arc<[Missed]>,
    size: usize,
) -> anyhow::Result<Tally> {
    let mut clients = JoinSet::new();
    let failures = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    for number in 0..size {
        let (api, circles, missed) = (api.clone(), circles.clone(), missed[number % circles.len()]);
        let failures = failures.clone();
        clients.spawn(async move {
            let mut first_failure = None;
            loop {
                match join(&api, &circles, number, missed).await {
                    Ok(socket) => {
                        return (
                            begin.elapsed(),
                            first_failure.map(|at: Instant| at.elapsed()),
                            socket,
                        );
                    }
                    Err(_) => {
                        first_failure.get_or_insert_with(Instant::now);
                        failures.fetch_add(1, Ordering::Relaxed);
                        sleep(PAUSE).await;
                    }
                }
            }
        });
    }
    let mut tally =
        Tally { live_after: Latencies::new()?, failures: 0, longest_failure: Duration::ZERO };
    // They stay until everybody is there.
    let mut live: Vec<CountingSocket> = Vec::new();
    let gathering = async {
        while let Some(client) = clients.join_next().await {
            let (live_after, failure, socket) = client?;
            tally.live_after.record(live_after);
            tally.longest_failure = tally.longest_failure.max(failure.unwrap_or_default());
            live.push(socket);
        }
        anyhow::Ok(())
    };
    let gathered = timeout(DEADLINE, gathering).await;
    let failed = failures.load(Ordering::Relaxed);
    gathered.with_context(|| {
        format!("{} of {size} are live, {failed} tries have failed", live.len())
    })??;
    tally.failures = failed;
    Ok(tally)
}

/// One try of one client: it is live once it has seen what it had missed.
async fn join(
    api: &Api,
    circles: &[Circle],
    number: usize,
    missed: Missed,
) -> anyhow::Result<CountingSocket> {
    let (from, room, token) = seat(circles, number);
    let mut socket = api.door(number).open(Some(from), Some(token)).await?;
    catch_up(&mut socket, room, missed).await?;
    socket.into_counting()
}

async fn catch_up(socket: &mut Socket, room: i64, missed: Missed) -> anyhow::Result<()> {
    let Missed { mut after_seq, mut count } = missed;
    socket
        .send(&json!({"type": "subscribe", "room_id": room, "after_seq": after_seq, "ref": "s"}))
        .await?;
    let mut is_subscribed = false;
    while count > 0 || !is_subscribed {
        let frame: Value = serde_json::from_slice(&socket.next().await?)?;
        if frame["ref"] == "s" {
            ensure!(frame["type"] == "success" && frame["resync"] != true, "answered with {frame}");
            is_subscribed = true;
        } else if frame["type"] == "message" {
            after_seq += 1;
            ensure!(frame["message"]["seq"] == after_seq, "{frame} instead of {after_seq}");
            count = count.checked_sub(1).context("more than was missed")?;
        }
    }
    Ok(())
}
