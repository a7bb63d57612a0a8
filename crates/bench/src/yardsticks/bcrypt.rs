//! How many passwords the cores can check when they do nothing else.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

const PASSWORD: &str = "securepass123";

/// Checks passwords on all cores for a while; checks a second.
pub(crate) async fn run(cost: u32, duration: Duration) -> anyhow::Result<f64> {
    let checking = tokio::task::spawn_blocking(move || check_on_all_cores(cost, duration));
    checking.await.context("the checking has ended")?
}

fn check_on_all_cores(cost: u32, duration: Duration) -> anyhow::Result<f64> {
    let hash = bcrypt::hash(PASSWORD, cost)?;
    let cores = thread::available_parallelism()?.get();
    let rates: Vec<anyhow::Result<f64>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(|| check(&hash, duration))).collect();
        let rate = |thread: thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(rate) => rate,
            Err(_) => Err(anyhow::anyhow!("a thread has ended")),
        };
        threads.into_iter().map(rate).collect()
    });
    rates.into_iter().sum()
}

/// Whole checks only.
fn check(hash: &str, duration: Duration) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < duration {
        ensure!(bcrypt::verify(PASSWORD, hash)?, "a right password is wrong");
        count += 1;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_step_of_the_cost_takes_twice_as_long() {
        let time = Duration::from_millis(200);
        let (cheap, dear) = (run(4, time).await.unwrap(), run(8, time).await.unwrap());
        assert!(cheap > 4.0 * dear, "{cheap} and {dear} a second");
    }
}
