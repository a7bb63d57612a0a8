//! The ordinary clients: each sends, reads history, and some log in again and again.

use std::time::Duration;

use anyhow::Context;
use parlance_client::{Account, Client, Options, PASSWORD, WebSocket, WebSocketOptions, endpoints};
use parlance_measure::Latencies;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::setup::{Place, ordinary_address};

/// Time between two messages of one client.
const SEND_INTERVAL: Duration = Duration::from_millis(500);
/// After so many messages a client also reads a page of history.
const MESSAGES_PER_READ: u64 = 4;
/// One of so many clients logs in, after so many messages each.
const CLIENTS_PER_LOG_IN: usize = 10;
const MESSAGES_PER_LOG_IN: u64 = 10;
/// An answer that takes longer is a refusal.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Refusals of one client whose texts are kept.
const MAX_REFUSALS: usize = 3;

/// What ordinary clients have seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) sends: Latencies,
    pub(super) reads: Latencies,
    pub(super) log_ins: Latencies,
    pub(super) refused: u64,
    /// The first few, in words.
    pub(super) refusals: Vec<String>,
}

/// One client with an address of its own.
struct Ordinary {
    client: Client,
    account: Account,
    socket: WebSocket,
    room: i64,
    logs_in: bool,
    tally: Tally,
}

/// Lets all clients chat until then.
pub(super) async fn chat(place: &Place, until: Instant) -> anyhow::Result<Tally> {
    let mut clients = JoinSet::new();
    for (number, account) in place.ordinary.iter().enumerate() {
        let client = Ordinary::connect(place, number, account.clone()).await;
        clients.spawn(client.context("an ordinary client cannot connect")?.run(number, until));
    }
    let mut sum = Tally::default();
    while let Some(tally) = clients.join_next().await {
        sum.merge(tally?);
    }
    Ok(sum)
}

impl Ordinary {
    async fn connect(place: &Place, number: usize, account: Account) -> anyhow::Result<Self> {
        let address = ordinary_address(number);
        let options = WebSocketOptions {
            token: Some(account.token.clone()),
            timeout: TIMEOUT,
            local_address: Some(address),
            ..Default::default()
        };
        let mut socket = WebSocket::connect_with(place.gateway, options).await?;
        let room = place.rooms[number];
        socket.subscribe(room, None).await?;
        let options =
            Options { timeout: TIMEOUT, local_addresses: vec![address], ..Options::default() };
        let client = Client::with_options([place.gateway], options);
        let logs_in = number.is_multiple_of(CLIENTS_PER_LOG_IN);
        Ok(Self { client, account, socket, room, logs_in, tally: Tally::default() })
    }

    async fn run(mut self, number: usize, until: Instant) -> Tally {
        // The clients do not all send at the same moment.
        let offset = SEND_INTERVAL.mul_f64(number as f64 / 100.0);
        tokio::time::sleep(offset).await;
        let mut ticks = interval(SEND_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for count in 1.. {
            ticks.tick().await;
            if Instant::now() >= until {
                break;
            }
            self.send().await;
            if count % MESSAGES_PER_READ == 0 {
                self.read().await;
            }
            if self.logs_in && count % MESSAGES_PER_LOG_IN == 0 {
                self.log_in().await;
            }
        }
        self.tally
    }

    async fn send(&mut self) {
        let begin = Instant::now();
        let message = json!({"type": "send_message", "room_id": self.room, "content": "hello"});
        match self.socket.request(message).await {
            Ok(_) => self.tally.sends.record(begin.elapsed()),
            Err(error) => self.tally.refuse(format!("a message: {error}")),
        }
        self.socket.forget_unread();
    }

    async fn read(&mut self) {
        let begin = Instant::now();
        let request = endpoints::history(&self.account.token, self.room, "limit=20");
        let answered = self.client.send(request).await.and_then(|response| response.expect(200));
        match answered {
            Ok(_) => self.tally.reads.record(begin.elapsed()),
            Err(error) => self.tally.refuse(format!("a page of history: {error}")),
        }
    }

    async fn log_in(&mut self) {
        let begin = Instant::now();
        let request = endpoints::login(&self.account.username, PASSWORD);
        let answered = self.client.send(request).await.and_then(|response| response.expect(200));
        match answered {
            Ok(_) => self.tally.log_ins.record(begin.elapsed()),
            Err(error) => self.tally.refuse(format!("a log-in: {error}")),
        }
    }
}

impl Tally {
    fn refuse(&mut self, refusal: String) {
        self.refused += 1;
        if self.refusals.len() < MAX_REFUSALS {
            self.refusals.push(refusal);
        }
    }

    fn merge(&mut self, other: Self) {
        self.sends.merge(&other.sends);
        self.reads.merge(&other.reads);
        self.log_ins.merge(&other.log_ins);
        self.refused += other.refused;
        let room = MAX_REFUSALS.saturating_sub(self.refusals.len());
        self.refusals.extend(other.refusals.into_iter().take(room));
    }
}
