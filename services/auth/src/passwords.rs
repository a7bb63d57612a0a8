//! Hashing passwords with bcrypt, on a bounded number of threads of low priority: one hash takes a
//! good part of a second of a core.

use std::time::Duration;

use anyhow::Context;
use opentelemetry::{KeyValue, global};
use parlance_core::Password;
use parlance_runtime::Full;
use tokio::time::Instant;

use crate::client_network::ClientNetwork;
use crate::config::PasswordConfig;
use crate::error::Error;
use crate::hash_queue::{HashLimits, HashQueue, Refusal};
use crate::hashing::HashThreads;

/// Hashes and compares passwords, a few at a time, for clients in turn. A bounded number of
/// requests wait; further ones are refused with a time after which to retry.
pub(crate) struct Passwords {
    cost: u32,
    threads: HashThreads,
    /// Compared with when the user does not exist, so that the refusal takes as long.
    dummy_hash: String,
    queue: HashQueue,
    limits: HashLimits,
    /// About the time that a hash takes.
    hash_time: Duration,
}

impl Passwords {
    /// Computes the dummy hash, which also measures how long a hash takes.
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
        let dummy_hash =
            threads.run(move || bcrypt::hash("", cost)).await.map_err(Error::HashTask)?;
        let hash_time = started.elapsed();
        let queue = HashQueue::new(limits);
        observe_queue(queue.clone(), limits);
        let dummy_hash = dummy_hash.map_err(Error::Hash)?;
        Ok(Self { cost, threads, dummy_hash, queue, limits, hash_time })
    }

    /// Returns the hash to store for a new password.
    pub(crate) async fn hash(
        &self,
        password: Password,
        client: ClientNetwork,
    ) -> Result<String, Error> {
        let cost = self.cost;
        // `non_truncating_hash` refuses 72 bytes, which bcrypt can take. A `Password` has no more.
        self.run(client, move || bcrypt::hash(password.expose(), cost)).await
    }

    /// True if the hash is that of the password. False, after the same time, if there is no valid
    /// password or no stored hash.
    pub(crate) async fn matches(
        &self,
        password: Option<Password>,
        stored_hash: Option<String>,
        client: ClientNetwork,
    ) -> Result<bool, Error> {
        let is_possible = password.is_some() && stored_hash.is_some();
        let hash = stored_hash.unwrap_or_else(|| self.dummy_hash.clone());
        let verify = move || bcrypt::verify(password.as_ref().map_or("", Password::expose), &hash);
        let is_equal = self.run(client, verify).await?;
        Ok(is_equal && is_possible)
    }

    async fn run<T: Send + 'static>(
        &self,
        client: ClientNetwork,
        job: impl FnOnce() -> bcrypt::BcryptResult<T> + Send + 'static,
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
        let rounds = refusal.waiting.div_ceil(self.limits.running);
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        let retry_after = self.hash_time.saturating_mul(rounds).max(Duration::from_secs(1));
        match refusal.full {
            Full::Key => Error::HashShareFull { retry_after },
            Full::Queue => Error::HashQueueFull { retry_after },
        }
    }
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
