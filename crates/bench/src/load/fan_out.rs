//! Fan-out: a few senders, very many subscribers. A message is in flight until all subscribers have
//! received it, for every server alike, so no sender outruns the subscribers.

use std::sync::Arc;

use anyhow::{Context, ensure};
use parlance_measure::Latencies;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};

use super::arrivals::count_texts;
use super::in_flight::InFlight;
use crate::usage::Window;
use crate::ws::{CountingSocket, Socket};

/// Sockets that are open and subscribed.
pub struct Ready {
    /// The subscribers.
    pub subscribers: Vec<CountingSocket>,
    /// The senders, each with the frame that it sends again and again.
    pub senders: Vec<(Socket, String)>,
    /// Messages of each sender that are in flight.
    pub in_flight: usize,
    /// Acks that a sender receives for each message.
    pub acks: u64,
}

/// What was counted within the window.
#[derive(Debug)]
pub struct Tally {
    /// The number of deliveries.
    pub deliveries: u64,
    /// From a message's send to its last delivery.
    pub latencies: Latencies,
}

impl Ready {
    /// Sends until the window ends, and then waits until all subscribers have received everything.
    pub async fn run(self, window: Window) -> anyhow::Result<Tally> {
        let max_in_flight = self.senders.len() * self.in_flight;
        let in_flight = Arc::new(InFlight::new(self.subscribers.len(), max_in_flight, window));
        let (mut subscribers, mut senders) = (JoinSet::new(), JoinSet::new());
        for socket in self.subscribers {
            let in_flight = in_flight.clone();
            subscribers
                .spawn(async move { count_texts(socket, |it| in_flight.add_delivered(it)).await });
        }
        for (socket, frame) in self.senders {
            let sender = Sender { socket, frame, max_in_flight: self.in_flight, acks: self.acks };
            senders.spawn(sender.run(in_flight.clone()));
        }
        let running = async {
            sleep_until(window.from).await;
            let before = in_flight.delivered();
            sleep_until(window.to).await;
            let after = in_flight.delivered();
            while let Some(sent) = senders.join_next().await {
                sent?.context("a sender")?;
            }
            in_flight.wait_until_complete().await?;
            anyhow::Ok(after - before)
        };
        let deliveries = tokio::select! {
            deliveries = running => deliveries?,
            Some(ended) = subscribers.join_next() => return Err(ended?),
        };
        Ok(Tally { deliveries, latencies: in_flight.latencies() })
    }
}

struct Sender {
    socket: Socket,
    frame: String,
    max_in_flight: usize,
    acks: u64,
}

impl Sender {
    /// Sends until the window ends, and then waits for the remaining acks.
    async fn run(mut self, in_flight: Arc<InFlight>) -> anyhow::Result<()> {
        let mut unacked = 0_u64;
        let end = in_flight.window.to;
        loop {
            tokio::select! {
                acquired = timeout_at(end, in_flight.acquire(self.max_in_flight)) => {
                    let Ok(count) = acquired else { break };
                    self.socket.send(std::iter::repeat_n(self.frame.clone(), count)).await?;
                    unacked += self.acks * count as u64;
                }
                text = self.socket.next() => {
                    expect_ack(&text?)?;
                    unacked = unacked.checked_sub(1).context("an unexpected ack")?;
                }
            }
        }
        for _ in 0..unacked {
            expect_ack(&self.socket.next().await?)?;
        }
        Ok(())
    }
}

fn expect_ack(text: &str) -> anyhow::Result<()> {
    // The gateway begins every ack with these members.
    let is_ack = text.starts_with(r#"{"type":"ack","#);
    ensure!(is_ack, "a send was answered with {text}");
    Ok(())
}
