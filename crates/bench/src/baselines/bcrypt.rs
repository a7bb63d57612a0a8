//! The rate at which all cores together check passwords.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinSet;

const PASSWORD: &str = "securepass123";

/// Checks passwords on all cores. Returns the checks a second.
pub async fn run(cost: u32, duration: Duration) -> anyhow::Result<f64> {
    let hash = bcrypt::hash(PASSWORD, cost)?;
    let mut cores = JoinSet::new();
    for _ in 0..thread::available_parallelism()?.get() {
        let hash = hash.clone();
        cores.spawn_blocking(move || check(&hash, duration));
    }
    cores.join_all().await.into_iter().sum()
}

/// Returns the checks a second on one core. Only complete checks count.
fn check(hash: &str, duration: Duration) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < duration {
        ensure!(bcrypt::verify(PASSWORD, hash)?, "a correct password was rejected");
        count += 1;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}
