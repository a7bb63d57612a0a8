//! The queue for the hashing threads, and for the few of them that one account may use. Clients are
//! served in turn, so that a flood of log-ins from one address costs the others at most one hash
//! per thread, not their log-in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_runtime::{FairQueue, Full};
use tokio::sync::oneshot;

use crate::client_network::ClientNetwork;

/// How many hashes may be in progress, and how many may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashLimits {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
    pub(crate) waiting_per_client: usize,
}

/// Hands out turns to hash. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HashQueue(Arc<Shared>);

/// The right to use a hashing thread. Dropping it gives it to the client whose turn is next.
pub(crate) struct Turn(Arc<Shared>);

/// Why a client gets no turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) full: Full,
    /// How many hashes wait.
    pub(crate) waiting: usize,
}

struct Shared {
    limits: HashLimits,
    state: Mutex<State>,
}

struct State {
    running: usize,
    waiting: FairQueue<ClientNetwork, oneshot::Sender<Turn>>,
}

impl HashQueue {
    pub(crate) fn new(limits: HashLimits) -> Self {
        let waiting = FairQueue::new(limits.waiting_per_client, limits.waiting);
        Self(Arc::new(Shared { limits, state: Mutex::new(State { running: 0, waiting }) }))
    }

    /// Waits for a turn. A caller that stops waiting leaves the queue. A caller may be refused
    /// while it waits: if the queue is full, the client with the most waiting makes room.
    pub(crate) async fn turn(&self, client: ClientNetwork) -> Result<Turn, Refusal> {
        let mut place = self.0.enter(client).map_err(|full| self.0.refuse(full))?;
        (&mut place.turn).await.map_err(|_| self.0.refuse(Full::Queue))
    }

    /// The numbers of hashes in progress and waiting.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.0.lock();
        (state.running, state.waiting.len())
    }
}

impl Shared {
    /// Takes a turn if one is free, else a place in the queue.
    fn enter(self: &Arc<Self>, client: ClientNetwork) -> Result<Place, Full> {
        let (sender, turn) = oneshot::channel();
        let mut state = self.lock();
        if state.running < self.limits.running {
            state.running += 1;
            // The receiver is still here, so this cannot fail.
            let _ = sender.send(Turn(self.clone()));
        } else {
            // Dropping a displaced sender refuses its caller.
            drop(state.waiting.push_or_displace(client, sender)?);
        }
        Ok(Place { shared: self.clone(), client, turn })
    }

    /// Gives a turn that has ended to the next caller.
    fn pass_on(self: &Arc<Self>) {
        let mut state = self.lock();
        let next = state.waiting.pop();
        if next.is_none() {
            state.running -= 1;
        }
        drop(state);
        if let Some((_, waiting)) = next {
            // If the caller has gone in this moment, the turn is dropped and so passed on again.
            drop(waiting.send(Turn(self.clone())));
        }
    }

    fn refuse(&self, full: Full) -> Refusal {
        Refusal { full, waiting: self.lock().waiting.len() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

/// A place in the queue, given up when it is dropped.
struct Place {
    shared: Arc<Shared>,
    client: ClientNetwork,
    turn: oneshot::Receiver<Turn>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turn.close();
        self.shared.lock().waiting.retain(&self.client, |waiting| !waiting.is_closed());
    }
}

#[cfg(test)]
#[path = "tests/hash_queue.rs"]
mod tests;
