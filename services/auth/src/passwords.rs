//! Hashing passwords with bcrypt, on a bounded number of threads of low priority: one hash takes a
//! good part of a second of a core.

use std::hint::black_box;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use bcrypt::{BcryptResult, HashParts};
use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};
use parlance_core::Password;
use parlance_runtime::Full;
use tokio::time::Instant;

use crate::client_network::ClientNetwork;
use crate::config::PasswordConfig;
use crate::error::Error;
use crate::hash_queue::{HashLimits, HashQueue, Refusal};
use crate::hashing::HashThreads;

/// The costs that bcrypt has.
const COSTS: RangeInclusive<u32> = 4..=31;

/// Hashes and compares passwords, a few at a time, for clients in turn. A bounded number of
/// requests wait; further ones are refused with a time after which to retry.
pub(crate) struct Passwords {
    cost: u32,
    threads: HashThreads,
    queue: HashQueue,
    limits: HashLimits,
    refused: Counter<u64>,
    /// About the time that a hash takes.
    hash_time: Duration,
}

/// A password, and what it is compared with.
pub(crate) struct Comparison {
    /// Absent if the password breaks the rules for passwords.
    pub(crate) password: Option<Password>,
    /// Absent if nothing may match.
    pub(crate) stored_hash: Option<String>,
    /// The highest cost of any stored hash.
    pub(crate) highest_cost: u32,
}

/// The result of a comparison.
pub(crate) enum Compared {
    Different,
    Equal {
        /// The hash to store instead, if the stored one has another cost than new ones.
        renewed_hash: Option<String>,
    },
}

impl Passwords {
    /// Starts the threads, and measures how long a hash takes.
    pub(crate) async fn start(config: &PasswordConfig) -> anyhow::Result<Self> {
        let cost = config.bcrypt_cost;
        let limits = HashLimits {
            running: config.hash_threads as usize,
            waiting: config.hash_queue as usize,
            waiting_per_client: config.hash_queue_per_address as usize,
        };
        let threads =
            HashThreads::new(limits.running).context("cannot start threads for hashing")?;
        let started = Instant::now();
        threads.run(move || spend(cost)).await.map_err(Error::HashTask)?;
        let hash_time = started.elapsed();
        let queue = HashQueue::new(limits);
        observe_queue(queue.clone(), limits);
        Ok(Self { cost, threads, queue, limits, refused: refused_counter(), hash_time })
    }

    /// Returns the hash to store for a new password.
    pub(crate) async fn hash(
        &self,
        password: Password,
        client: ClientNetwork,
    ) -> Result<String, Error> {
        let cost = self.cost;
        self.run(client, move || hash(&password, cost)).await
    }

    /// Compares a password with a stored hash. Finding them different takes the same time whatever
    /// is stored, even nothing. `held` is dropped when the comparison ends, even if the caller has
    /// gone.
    pub(crate) async fn compare(
        &self,
        comparison: Comparison,
        client: ClientNetwork,
        held: impl Send + 'static,
    ) -> Result<Compared, Error> {
        let cost = self.cost;
        let job = move || {
            let compared = compare(&comparison, cost);
            drop(held);
            compared
        };
        self.run(client, job).await
    }

    async fn run<T: Send + 'static>(
        &self,
        client: ClientNetwork,
        job: impl FnOnce() -> BcryptResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.queue.turn(client).await.map_err(|refusal| self.error(refusal))?;
        let task = self.threads.run(move || {
            let result = job();
            // Held until the hash ends, even if the caller has gone.
            drop(turn);
            result
        });
        task.await.map_err(Error::HashTask)?.map_err(Error::Hash)
    }

    /// The caller may retry after about the time that those who wait need.
    fn error(&self, refusal: Refusal) -> Error {
        self.refused.add(1, &[reason(refusal.full)]);
        let rounds = refusal.waiting.div_ceil(self.limits.running);
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        let retry_after = self.hash_time.saturating_mul(rounds).max(Duration::from_secs(1));
        match refusal.full {
            Full::Key => Error::HashShareFull { retry_after },
            Full::Queue => Error::HashQueueFull { retry_after },
        }
    }
}

/// Returns the hash of a password. `non_truncating_hash` refuses 72 bytes, which bcrypt can take. A
/// `Password` has no more.
fn hash(password: &Password, cost: u32) -> BcryptResult<String> {
    bcrypt::hash(password.expose(), cost)
}

fn compare(comparison: &Comparison, cost: u32) -> BcryptResult<Compared> {
    let Comparison { password, stored_hash, highest_cost } = comparison;
    // Text that is no hash of bcrypt matches nothing.
    let stored_hash = stored_hash.as_deref().filter(|hash| cost_of(hash).is_some());
    let stored_cost = stored_hash.and_then(cost_of).unwrap_or(cost);
    if let (Some(password), Some(stored_hash)) = (password, stored_hash) {
        if bcrypt::verify(password.expose(), stored_hash)? {
            let is_current = stored_cost == cost;
            let renewed_hash = if is_current { None } else { Some(hash(password, cost)?) };
            return Ok(Compared::Equal { renewed_hash });
        }
    } else {
        spend(stored_cost);
    }
    // A cost takes twice the time of the one below it, so all costs from the stored one up to below
    // the highest take as long as the highest, less what was spent already.
    (stored_cost..cost.max(*highest_cost)).for_each(spend);
    Ok(Compared::Different)
}

fn cost_of(hash: &str) -> Option<u32> {
    HashParts::from_str(hash).ok().map(|parts| parts.get_cost()).filter(|cost| COSTS.contains(cost))
}

/// Takes the time of a hash of this cost.
fn spend(cost: u32) {
    black_box(bcrypt::bcrypt(cost.min(*COSTS.end()), [0; 16], black_box(b"\0")));
}

/// Counts refused hashes by reason.
fn refused_counter() -> Counter<u64> {
    let refused = global::meter("parlance")
        .u64_counter("parlance.auth.hashes.refused")
        .with_description("Hashes refused because too many wait, of the address or in all.")
        .build();
    for full in [Full::Key, Full::Queue] {
        refused.add(0, &[reason(full)]);
    }
    refused
}

/// The label of a refusal.
fn reason(full: Full) -> KeyValue {
    let reason = match full {
        Full::Key => "address",
        Full::Queue => "queue",
    };
    KeyValue::new("reason", reason)
}

/// Exports how many hashes are in progress and how many wait, and the limits of both.
fn observe_queue(queue: HashQueue, limits: HashLimits) {
    let description = "Hashes of passwords in progress, or waiting.";
    observe("parlance.auth.hashes", description, move || queue.load());
    let description = "Hashes of passwords that may be in progress, or wait.";
    let limits = (limits.running, limits.waiting);
    observe("parlance.auth.hashes.limit", description, move || limits);
}

/// Exports a gauge with two values: hashes in progress, and hashes that wait.
fn observe(
    name: &'static str,
    description: &'static str,
    values: impl Fn() -> (usize, usize) + Send + Sync + 'static,
) {
    global::meter("parlance")
        .u64_observable_gauge(name)
        .with_description(description)
        .with_callback(move |gauge| {
            let (running, waiting) = values();
            gauge.observe(running as u64, &[KeyValue::new("state", "running")]);
            gauge.observe(waiting as u64, &[KeyValue::new("state", "waiting")]);
        })
        .build();
}
