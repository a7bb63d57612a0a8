//! Fan-out: what a few say goes to very many. A message is in flight until all subscribers have it,
//! for every server alike, so no sender runs away from them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::is_ack;
use crate::stats::Latencies;
use crate::usage::Window;
use crate::wire::{CountingSocket, Socket, encode};

/// How long the last message may take to reach the last subscriber.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);
const POLL_PAUSE: Duration = Duration::from_millis(5);

/// Sockets that are open and subscribed.
pub(crate) struct Ready {
    pub(crate) subscribers: Vec<CountingSocket>,
    /// Each with the frame that it sends again and again.
    pub(crate) senders: Vec<(Socket, String)>,
    /// Of each sender.
    pub(crate) in_flight: usize,
    /// Texts that answer each message at its sender.
    pub(crate) answers: u64,
}

/// What was seen while it counted.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) deliveries: u64,
    /// From a message's send to its last delivery.
    pub(crate) latencies: Latencies,
}

/// What the subscribers have, all together.
struct Deliveries {
    subscribers: u64,
    count: AtomicU64,
    /// Messages that may be sent now.
    places: Semaphore,
    flights: Mutex<Flights>,
    window: Window,
}

struct Flights {
    /// When the messages were sent that not all subscribers have, the oldest first.
    sent_at: VecDeque<Instant>,
    sent: u64,
    latencies: Latencies,
}

impl Ready {
    /// Sends until the window ends, and then waits until everybody has everything.
    pub(crate) async fn run(self, window: Window) -> anyhow::Result<Tally> {
        let deliveries = Arc::new(Deliveries {
            subscribers: self.subscribers.len() as u64,
            count: AtomicU64::new(0),
            places: Semaphore::new(self.senders.len() * self.in_flight),
            flights: Mutex::new(Flights {
                sent_at: VecDeque::new(),
                sent: 0,
                latencies: Latencies::new()?,
            }),
            window,
        });
        let (mut subscribing, mut sending) = (JoinSet::new(), JoinSet::new());
        for socket in self.subscribers {
            subscribing.spawn(count_forever(socket, deliveries.clone()));
        }
        for (socket, frame) in self.senders {
            sending.spawn(send(socket, frame, self.in_flight, self.answers, deliveries.clone()));
        }
        let running = async {
            sleep_until(window.from).await;
            let before = deliveries.count.load(Ordering::Relaxed);
            sleep_until(window.to).await;
            let after = deliveries.count.load(Ordering::Relaxed);
            while let Some(sent) = sending.join_next().await {
                sent?.context("a sender")?;
            }
            deliveries.wait_until_complete().await?;
            anyhow::Ok(after - before)
        };
        let deliveries_counted = tokio::select! {
            counted = running => counted?,
            Some(ended) = subscribing.join_next() => return Err(ended?),
        };
        let latencies = deliveries.lock().latencies.clone();
        Ok(Tally { deliveries: deliveries_counted, latencies })
    }
}

/// Ends with an error, or when it is dropped.
async fn count_forever(mut socket: CountingSocket, deliveries: Arc<Deliveries>) -> anyhow::Error {
    loop {
        match socket.read().await {
            Ok(0) => {}
            Ok(texts) => deliveries.add(texts),
            Err(error) => return error.context("a subscriber"),
        }
    }
}

async fn send(
    mut socket: Socket,
    frame: String,
    in_flight: usize,
    answers: u64,
    deliveries: Arc<Deliveries>,
) -> anyhow::Result<()> {
    let (mut frames, mut unanswered) = (Vec::new(), 0);
    loop {
        tokio::select! {
            taken = timeout_at(deliveries.window.to, deliveries.take_places(in_flight)) => {
                let Ok(count) = taken else { break };
                frames.clear();
                for _ in 0..count {
                    encode(frame.as_bytes(), &mut frames);
                }
                socket.write(&frames).await?;
                unanswered += answers * count as u64;
            }
            filled = socket.fill() => {
                filled?;
                unanswered -= acknowledged(&mut socket, unanswered)?;
            }
        }
    }
    while unanswered > 0 {
        socket.fill().await?;
        unanswered -= acknowledged(&mut socket, unanswered)?;
    }
    Ok(())
}

/// The number of acks among what was read.
fn acknowledged(socket: &mut Socket, expected: u64) -> anyhow::Result<u64> {
    let mut count = 0;
    while let Some(text) = socket.take()? {
        ensure!(count < expected && is_ack(&text), "a send was answered with {text:?}");
        count += 1;
    }
    Ok(count)
}

impl Deliveries {
    /// Waits until a message may be sent, and takes up to so many places at once.
    async fn take_places(&self, most: usize) -> usize {
        let mut taken = 0;
        if let Ok(first) = self.places.acquire().await {
            first.forget();
            taken += 1;
        }
        while taken < most
            && let Ok(place) = self.places.try_acquire()
        {
            place.forget();
            taken += 1;
        }
        let mut flights = self.lock();
        flights.sent += taken as u64;
        flights.sent_at.extend(std::iter::repeat_n(Instant::now(), taken));
        taken
    }

    /// Subscribers get all messages in the same order, so that as many messages are complete as all
    /// of them together have texts for. Several that are on their way at once may be told apart by
    /// a little too late.
    fn add(&self, texts: u64) {
        let before = self.count.fetch_add(texts, Ordering::Relaxed);
        let complete = (before + texts) / self.subscribers - before / self.subscribers;
        if complete > 0 {
            self.complete(complete);
        }
    }

    fn complete(&self, count: u64) {
        let now = Instant::now();
        let mut flights = self.lock();
        for _ in 0..count {
            if let Some(sent_at) = flights.sent_at.pop_front()
                && self.window.contains(now)
            {
                flights.latencies.record(now - sent_at);
            }
        }
        drop(flights);
        self.places.add_permits(usize::try_from(count).unwrap_or(usize::MAX));
    }

    async fn wait_until_complete(&self) -> anyhow::Result<()> {
        let wanted = self.lock().sent * self.subscribers;
        let arriving = async {
            while self.count.load(Ordering::Relaxed) < wanted {
                sleep(POLL_PAUSE).await;
            }
        };
        let has_arrived = timeout(DRAIN_DEADLINE, arriving).await;
        let count = self.count.load(Ordering::Relaxed);
        has_arrived.with_context(|| format!("{count} of {wanted} deliveries have arrived"))?;
        ensure!(count == wanted, "{count} deliveries instead of {wanted}");
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::serve;
    use crate::wire::Door;
    use crate::yardsticks::broadcast;

    fn deliveries(subscribers: u64, places: usize) -> Deliveries {
        Deliveries {
            subscribers,
            count: AtomicU64::new(0),
            places: Semaphore::new(places),
            flights: Mutex::new(Flights {
                sent_at: VecDeque::new(),
                sent: 0,
                latencies: Latencies::new().unwrap(),
            }),
            window: Window::after(Duration::ZERO, Duration::from_secs(60)),
        }
    }

    #[tokio::test]
    async fn a_message_is_in_flight_until_all_have_it() {
        let deliveries = deliveries(3, 2);
        assert_eq!(deliveries.take_places(16).await, 2);
        deliveries.add(2);
        assert_eq!(deliveries.places.available_permits(), 0);
        deliveries.add(2);
        assert_eq!(deliveries.places.available_permits(), 1);
        deliveries.add(2);
        assert_eq!(deliveries.places.available_permits(), 2);
        assert_eq!(deliveries.lock().latencies.percentiles().map(|_| ()), Some(()));
        deliveries.wait_until_complete().await.unwrap();
    }

    #[tokio::test]
    async fn all_that_is_sent_arrives_everywhere() {
        let (_server, address) = serve(broadcast::bare_router()).await;
        let open = async |path| Door { address, path }.open(None, None).await.unwrap();
        let (mut subscribers, mut senders) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            subscribers.push(open(broadcast::LISTEN).await.into_counting().unwrap());
        }
        for length in [10, 200] {
            senders.push((open(broadcast::SEND).await, "x".repeat(length)));
        }
        let ready = Ready { subscribers, senders, in_flight: 4, answers: 0 };
        let tally =
            ready.run(Window::after(Duration::ZERO, Duration::from_millis(200))).await.unwrap();
        assert!(tally.deliveries > 0 && tally.latencies.percentiles().is_some(), "{tally:?}");
    }

    #[tokio::test]
    async fn what_arrives_twice_is_an_error() {
        let deliveries = deliveries(2, 1);
        deliveries.take_places(1).await;
        deliveries.add(3);
        assert!(
            deliveries
                .wait_until_complete()
                .await
                .unwrap_err()
                .to_string()
                .contains("3 deliveries")
        );
    }
}
