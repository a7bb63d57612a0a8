//! The subscribers and senders of a run, from their start to the final message of each room.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::phase::{Phase, Phases};
use super::sender::{run as run_sender, send_final_message};
use super::subscriber;
use super::world::SharedWorld;
use crate::history::{Send, View};
use crate::plan::Waits;

const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Wrong events after the final message arrive within this time.
const SETTLING_TIME: Duration = Duration::from_secs(1);

/// All subscribers, and the phase of all clients.
pub(crate) struct Workload {
    /// The same accounts and rooms at different gateways, or one world with all gateways.
    worlds: Vec<SharedWorld>,
    /// The number of subscriptions, each of which gets a final message.
    subscriptions: usize,
    subscribers: JoinSet<Vec<View>>,
    phase: watch::Sender<Phase>,
    waits: Waits,
    sends: Vec<Send>,
    seed: u64,
    /// The number of clients so far. Each has a random generator of its own.
    clients: u64,
}

impl Workload {
    pub(crate) fn new(worlds: Vec<SharedWorld>, seed: u64, waits: Waits) -> Self {
        let (phase, _) = watch::channel(Phase::Running);
        let (subscribers, sends) = (JoinSet::new(), Vec::new());
        Self { worlds, subscriptions: 0, subscribers, phase, waits, sends, seed, clients: 0 }
    }

    /// Returns the phase as clients follow it.
    pub(crate) fn phases(&self) -> Phases {
        self.phase.subscribe()
    }

    /// Returns the random generator of one more client.
    pub(crate) fn next_rng(&mut self) -> StdRng {
        self.clients += 1;
        StdRng::seed_from_u64(self.seed ^ self.clients.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Starts one more subscriber to all rooms of a user.
    pub(crate) fn subscribe(&mut self, world: usize, user: usize) {
        let (rng, phases) = (self.next_rng(), self.phases());
        let shared = self.worlds[world].clone();
        self.subscriptions += shared.rooms_of(user).len();
        self.subscribers.spawn(subscriber::run(shared, user, rng, phases));
    }

    /// Starts a subscriber for each user in each world.
    pub(crate) fn subscribe_all(&mut self) {
        for world in 0..self.worlds.len() {
            (0..self.worlds[0].users.len()).for_each(|user| self.subscribe(world, user));
        }
    }

    /// Starts a sender for each user, spread over the worlds. Together they send `rate` messages a
    /// second.
    pub(crate) fn start_senders(&mut self, rate: u32) -> JoinSet<Vec<Send>> {
        let mut senders = JoinSet::new();
        let users = self.worlds[0].users.len();
        let mean_interval = Duration::from_secs(1).mul_f64(users as f64 / f64::from(rate));
        for user in 0..users {
            let world = self.worlds[user % self.worlds.len()].clone();
            let (rng, phases) = (self.next_rng(), self.phases());
            senders.spawn(run_sender(world, user, mean_interval, rng, phases));
        }
        senders
    }

    /// Ends the sending and waits for the answers.
    pub(crate) async fn stop(&mut self, senders: JoinSet<Vec<Send>>) -> anyhow::Result<()> {
        self.phase.send_replace(Phase::Finishing);
        self.gather(senders).await
    }

    /// Sends the final messages, waits until the subscribers have got them, and ends the run.
    /// Returns what all clients recorded. `removed` is the number of subscriptions of removed
    /// members, which do not get the final messages.
    pub(crate) async fn finish(mut self, removed: usize) -> anyhow::Result<(Vec<Send>, Vec<View>)> {
        if !self.is_over() {
            let mut tasks = JoinSet::new();
            for room in 0..self.worlds[0].rooms.len() {
                let (rng, phases) = (self.next_rng(), self.phases());
                tasks.spawn(send_final_message(self.worlds[0].clone(), room, rng, phases));
            }
            self.gather(tasks).await?;
        }
        if !self.is_over() {
            self.wait_for_final_messages(removed).await;
        }
        self.phase.send_replace(Phase::Over);
        Ok((self.sends, join_all(&mut self.subscribers).await?.concat()))
    }

    /// True if clients had to give up on answers.
    fn is_over(&self) -> bool {
        *self.phase.borrow() == Phase::Over
    }

    /// Waits for tasks. After the timeout they give up on their answers.
    async fn gather(&mut self, mut tasks: JoinSet<Vec<Send>>) -> anyhow::Result<()> {
        let joined = timeout(self.waits.finishing, async {
            while let Some(sends) = tasks.join_next().await {
                self.sends.extend(sends?);
            }
            anyhow::Ok(())
        });
        match joined.await {
            Ok(joined) => joined?,
            Err(_) => {
                self.phase.send_replace(Phase::Over);
                self.sends.extend(join_all(&mut tasks).await?.into_iter().flatten());
            }
        }
        Ok(())
    }

    /// Events that are missing after the timeout are violations.
    async fn wait_for_final_messages(&self, removed: usize) {
        let begin = Instant::now();
        let expected = self.subscriptions - removed;
        let seen = |world: &SharedWorld| world.counters.final_messages.load(Ordering::Relaxed);
        while self.worlds.iter().map(seen).sum::<usize>() < expected
            && begin.elapsed() < self.waits.quiet
        {
            sleep(POLL_INTERVAL).await;
        }
        sleep(SETTLING_TIME).await;
    }
}

/// Waits for all tasks and returns their results.
pub(crate) async fn join_all<T: 'static>(tasks: &mut JoinSet<T>) -> anyhow::Result<Vec<T>> {
    let mut results = Vec::new();
    while let Some(result) = tasks.join_next().await {
        results.push(result?);
    }
    Ok(results)
}
