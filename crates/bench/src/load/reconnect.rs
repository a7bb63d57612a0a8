//! Reconnect storm: very many clients connect at once, each with the last `seq` that it has seen,
//! and retry until they have received what they missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use parlance_measure::Latencies;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::idle::client;
use crate::setup::{Group, Setup};
use crate::ws::Socket;

/// Bounds the time until all clients are live.
const LIVE_TIMEOUT: Duration = Duration::from_secs(120);
/// From a client's failed attempt to its next one.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// What the clients have seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// From the beginning until each client was live.
    pub(crate) live_after: Latencies,
    /// Failed attempts. Their clients became live later.
    pub(crate) failures: u64,
    /// The longest time from a client's first failure until it was live.
    pub(crate) longest_failure: Duration,
}

/// What the clients of a room have missed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missed {
    /// The last `seq` that the clients have seen.
    pub(crate) after_seq: i64,
    /// The number of messages since then.
    pub(crate) count: u64,
}

/// A client that is live.
struct Live {
    after: Duration,
    /// From its first failure, if it had one.
    after_failure: Duration,
    _socket: Socket,
}

/// The clients of a storm.
#[derive(Clone)]
pub(crate) struct Storm {
    pub(crate) setup: Arc<Setup>,
    pub(crate) groups: Arc<[Group]>,
    /// By group.
    pub(crate) missed: Arc<[Missed]>,
}

impl Storm {
    /// Connects this many clients at once. Returns when all are live.
    pub(crate) async fn run(self, clients: usize) -> anyhow::Result<Tally> {
        let failures = Arc::new(AtomicU64::new(0));
        let mut connecting = JoinSet::new();
        let begin = Instant::now();
        for number in 0..clients {
            connecting.spawn(self.clone().connect_until_live(number, begin, failures.clone()));
        }
        let mut tally = Tally::default();
        // The clients stay connected until all are live.
        let mut live = Vec::new();
        let gathering = async {
            while let Some(client) = connecting.join_next().await {
                let client: Live = client?;
                tally.live_after.record(client.after);
                tally.longest_failure = tally.longest_failure.max(client.after_failure);
                live.push(client);
            }
            anyhow::Ok(())
        };
        let gathered = timeout(LIVE_TIMEOUT, gathering).await;
        tally.failures = failures.load(Ordering::Relaxed);
        gathered.with_context(|| {
            format!("{} of {clients} are live, {} attempts failed", live.len(), tally.failures)
        })??;
        Ok(tally)
    }

    async fn connect_until_live(
        self,
        number: usize,
        begin: Instant,
        failures: Arc<AtomicU64>,
    ) -> Live {
        let mut first_failure = None;
        loop {
            match self.connect(number).await {
                Ok(socket) => {
                    let after_failure = first_failure.map(|at: Instant| at.elapsed());
                    let after_failure = after_failure.unwrap_or_default();
                    return Live { after: begin.elapsed(), after_failure, _socket: socket };
                }
                Err(_) => {
                    first_failure.get_or_insert_with(Instant::now);
                    failures.fetch_add(1, Ordering::Relaxed);
                    sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }

    /// Connects a client and receives what it missed.
    async fn connect(&self, number: usize) -> anyhow::Result<Socket> {
        let (local_address, room, token) = client(&self.groups, number);
        let Missed { after_seq, count } = self.missed[number % self.groups.len()];
        let endpoint = self.setup.endpoint(number);
        let mut socket = endpoint.connect(Some(local_address), Some(token)).await?;
        let (answer, events) = socket.subscribe(room, Some(after_seq)).await?;
        ensure!(answer["resync"] != true, "answered with {answer}");
        let mut missed = after_seq + 1..=after_seq + i64::try_from(count)?;
        for event in events {
            expect_next(&event, &mut missed)?;
        }
        while !missed.is_empty() {
            expect_next(&serde_json::from_str(&socket.next().await?)?, &mut missed)?;
        }
        Ok(socket)
    }
}

/// Compares a message with the next `seq` that was missed. Other events are ignored.
fn expect_next(event: &Value, missed: &mut impl Iterator<Item = i64>) -> anyhow::Result<()> {
    if event["type"] == "message" {
        let seq = missed.next().context("more than was missed")?;
        ensure!(event["message"]["seq"] == seq, "{event} instead of {seq}");
    }
    Ok(())
}
