//! The turns of the tries of one account: few at a time, so that parallel tries gain nothing over
//! tries one after another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_runtime::Full;

use crate::account::AccountKey;
use crate::client_network::ClientNetwork;
use crate::hash_queue::{HashLimits, HashQueue, Turn};

/// Tries of one account in progress and waiting. Those that wait are served in turn by network.
const LIMITS: HashLimits = HashLimits { running: 5, waiting: 128, waiting_per_client: 16 };
/// Tries of all accounts that wait for others of the same account.
const MAX_WAITING: usize = 4_096;

/// Hands out turns, each account for itself. Only accounts with a try in progress take memory.
pub(crate) struct AccountTurns(Arc<Mutex<Accounts>>);

#[derive(Default)]
struct Accounts {
    entries: HashMap<AccountKey, Entry>,
    /// The tries of all accounts that wait.
    waiting: usize,
}

struct Entry {
    queue: HashQueue,
    /// The tries of the account, in progress and waiting.
    tries: usize,
}

/// The right to have a try of an account hashed. Dropping it gives it to the next one.
pub(crate) struct AccountTurn {
    /// Dropped before `_place`, which may remove the queue.
    _turn: Turn,
    _place: Place,
}

/// A try that is counted until it is dropped, also if it stops waiting.
struct Place {
    accounts: Arc<Mutex<Accounts>>,
    account: AccountKey,
}

impl AccountTurns {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Waits for a turn. Too many that wait are refused.
    pub(crate) async fn turn(
        &self,
        account: AccountKey,
        client: ClientNetwork,
    ) -> Result<AccountTurn, Full> {
        let queue = lock(&self.0).enter(account)?;
        let place = Place { accounts: self.0.clone(), account };
        let turn = queue.turn(client).await.map_err(|refusal| refusal.full)?;
        Ok(AccountTurn { _turn: turn, _place: place })
    }
}

impl Accounts {
    fn enter(&mut self, account: AccountKey) -> Result<HashQueue, Full> {
        let entry = self
            .entries
            .entry(account)
            .or_insert_with(|| Entry { queue: HashQueue::new(LIMITS), tries: 0 });
        if entry.tries >= LIMITS.running {
            if self.waiting >= MAX_WAITING {
                return Err(Full::Queue);
            }
            self.waiting += 1;
        }
        entry.tries += 1;
        Ok(entry.queue.clone())
    }

    fn leave(&mut self, account: AccountKey) {
        let Some(entry) = self.entries.get_mut(&account) else { return };
        if entry.tries > LIMITS.running {
            self.waiting -= 1;
        }
        entry.tries -= 1;
        if entry.tries == 0 {
            self.entries.remove(&account);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.accounts).leave(self.account);
    }
}

fn lock(accounts: &Mutex<Accounts>) -> MutexGuard<'_, Accounts> {
    accounts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "tests/account_turns.rs"]
mod tests;
