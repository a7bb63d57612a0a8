//! Hashing passwords with bcrypt, on a bounded number of threads of low priority: one hash takes a
//! good part of a second of a core.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use opentelemetry::{KeyValue, global};
use parlance_core::Password;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::PasswordConfig;
use crate::error::Error;
use crate::hashing::HashThreads;

/// Hashes and compares passwords, a few at a time. A bounded number of requests wait; further ones
/// are refused with a time after which to retry.
pub(crate) struct Passwords {
    cost: u32,
    threads: HashThreads,
    /// Compared with when the user does not exist, so that the refusal takes as long.
    dummy_hash: String,
    /// A permit for each hash in progress.
    running: Arc<Semaphore>,
    /// A permit for each hash in progress or waiting.
    admitted: Arc<Semaphore>,
    /// About the time that a full queue takes.
    retry_after: Duration,
}

impl Passwords {
    /// Computes the dummy hash, which also measures how long a hash takes.
    pub(crate) async fn start(config: &PasswordConfig) -> anyhow::Result<Self> {
        let (cost, count) = (config.bcrypt_cost, config.hash_threads as usize);
        let threads = HashThreads::new(count).context("cannot start threads for hashing")?;
        let started = Instant::now();
        let dummy_hash =
            threads.run(move || bcrypt::hash("", cost)).await.map_err(Error::HashTask)?;
        let rounds = config.hash_queue.div_ceil(config.hash_threads).max(1);
        let running = Arc::new(Semaphore::new(count));
        let admitted = Arc::new(Semaphore::new(count + config.hash_queue as usize));
        observe_queue(running.clone(), admitted.clone(), config);
        Ok(Self {
            cost,
            threads,
            dummy_hash: dummy_hash.map_err(Error::Hash)?,
            running,
            admitted,
            retry_after: (started.elapsed() * rounds).max(Duration::from_secs(1)),
        })
    }

    /// Returns the hash to store for a new password.
    pub(crate) async fn hash(&self, password: Password) -> Result<String, Error> {
        let cost = self.cost;
        // `non_truncating_hash` refuses 72 bytes, which bcrypt can take. A `Password` has no more.
        self.run(move || bcrypt::hash(password.expose(), cost)).await
    }

    /// True if the hash is that of the password. False, after the same time, if there is no valid
    /// password or no stored hash.
    pub(crate) async fn matches(
        &self,
        password: Option<Password>,
        stored_hash: Option<String>,
    ) -> Result<bool, Error> {
        let is_possible = password.is_some() && stored_hash.is_some();
        let hash = stored_hash.unwrap_or_else(|| self.dummy_hash.clone());
        let is_equal = self
            .run(move || bcrypt::verify(password.as_ref().map_or("", Password::expose), &hash))
            .await?;
        Ok(is_equal && is_possible)
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> bcrypt::BcryptResult<T> + Send + 'static,
    ) -> Result<T, Error> {
        let permits = self.acquire_permits().await?;
        let task = self.threads.run(move || {
            let result = job();
            // Held until the hash ends, even if the caller has gone.
            drop(permits);
            result
        });
        task.await.map_err(Error::HashTask)?.map_err(Error::Hash)
    }

    async fn acquire_permits(&self) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), Error> {
        let queue_full = || Error::HashQueueFull { retry_after: self.retry_after };
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| queue_full())?;
        let running = self.running.clone().acquire_owned().await.map_err(|_| queue_full())?;
        Ok((running, admitted))
    }
}

/// Exports how many hashes are in progress and how many wait, and the limits of both.
fn observe_queue(running: Arc<Semaphore>, admitted: Arc<Semaphore>, config: &PasswordConfig) {
    let (threads, queue) = (config.hash_threads as usize, config.hash_queue as usize);
    observe("parlance.auth.hashes", "Hashes of passwords in progress, or waiting.", move || {
        let running = threads.saturating_sub(running.available_permits());
        let admitted = (threads + queue).saturating_sub(admitted.available_permits());
        (running, admitted.saturating_sub(running))
    });
    let description = "Hashes of passwords that may be in progress, or wait.";
    observe("parlance.auth.hashes.limit", description, move || (threads, queue));
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
