//! The rate at which all cores together check passwords.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

const PASSWORD: &str = "securepass123";

/// Checks passwords on all cores. Returns the checks a second.
pub(crate) async fn run(cost: u32, duration: Duration) -> anyhow::Result<f64> {
    let checking = tokio::task::spawn_blocking(move || check_on_all_cores(cost, duration));
    checking.await.context("the checking thread panicked")?
}

fn check_on_all_cores(cost: u32, duration: Duration) -> anyhow::Result<f64> {
    let hash = bcrypt::hash(PASSWORD, cost)?;
    let cores = thread::available_parallelism()?.get();
    let rates: Vec<anyhow::Result<f64>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(|| check(&hash, duration))).collect();
        let rate = |thread: thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(rate) => rate,
            Err(_) => Err(anyhow::anyhow!("a checking thread panicked")),
        };
        threads.into_iter().map(rate).collect()
    });
    rates.into_iter().sum()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_check_at_cost_8_takes_over_four_times_as_long_as_at_cost_4() {
        let time = Duration::from_millis(200);
        let (at_4, at_8) = (run(4, time).await.unwrap(), run(8, time).await.unwrap());
        assert!(at_4 > 4.0 * at_8, "{at_4} and {at_8} a second");
    }
}
