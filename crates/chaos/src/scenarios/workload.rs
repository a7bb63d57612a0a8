//! The clients of a scenario: subscribers at gateways that they do not choose, and the last word in
//! every room.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clients::{Phase, Phases, SharedWorld, sender, subscriber};
use crate::history::View;
use crate::run;

/// For what was begun to be answered.
const FINISHING_LIMIT: Duration = Duration::from_secs(30);
/// For everybody to see the last message of every room.
const QUIET_LIMIT: Duration = Duration::from_secs(20);

/// All subscribers, and what they are to do.
pub(super) struct Crowd {
    /// The same people and rooms, as they are at each gateway.
    worlds: Vec<SharedWorld>,
    /// How many last messages are to be seen, in each world.
    expected: Vec<usize>,
    subscribers: JoinSet<Vec<View>>,
    phase: watch::Sender<Phase>,
    seed: u64,
}

impl Crowd {
    pub(super) fn new(worlds: Vec<SharedWorld>, seed: u64) -> Self {
        let expected = vec![0; worlds.len()];
        let (phase, _) = watch::channel(Phase::Running);
        Self { worlds, expected, subscribers: JoinSet::new(), phase, seed }
    }

    /// How clients learn what they are to do.
    pub(super) fn phases(&self) -> Phases {
        self.phase.subscribe()
    }

    /// A generator for one more client.
    pub(super) fn next_rng(&mut self) -> StdRng {
        self.seed = self.seed.wrapping_add(1);
        StdRng::seed_from_u64(self.seed)
    }

    /// Subscribes a person, once more, to all of his rooms.
    pub(super) fn subscribe(&mut self, world: usize, person: usize) {
        let (rng, phases) = (self.next_rng(), self.phases());
        self.expected[world] += self.worlds[world].rooms_of(person).len();
        self.subscribers.spawn(subscriber::run(self.worlds[world].clone(), person, rng, phases));
    }

    /// Lets the senders finish, says the last word, and waits until everybody has heard it: what
    /// was sent and what was seen.
    pub(super) async fn finish<T: 'static>(
        mut self,
        mut senders: JoinSet<Vec<T>>,
    ) -> anyhow::Result<(Vec<T>, Vec<View>)> {
        self.phase.send_replace(Phase::Finishing);
        let sent = run::gather(&mut senders, FINISHING_LIMIT, &self.phase).await?;
        let mut ending = JoinSet::new();
        for room in 0..self.worlds[0].rooms.len() {
            let (rng, phases) = (self.next_rng(), self.phases());
            ending.spawn(sender::end_room(self.worlds[0].clone(), room, rng, phases));
        }
        run::gather(&mut ending, FINISHING_LIMIT, &self.phase).await?;
        for (world, expected) in self.worlds.iter().zip(&self.expected) {
            run::wait_for_quiet(world, *expected, QUIET_LIMIT).await;
        }
        self.phase.send_replace(Phase::Over);
        Ok((sent, run::all(&mut self.subscribers).await?.concat()))
    }
}
