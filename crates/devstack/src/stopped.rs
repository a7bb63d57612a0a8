//! Waits until processes have stopped after SIGSTOP.
//!
//! The kernel gives the signal to one thread. On a busy machine the other threads run on for a while.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustix::process::Pid;

/// How long the processes may take to stop.
const TIMEOUT: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Waits until all threads of these processes have stopped or ended.
pub(crate) fn wait_until_stopped(ids: &[Pid]) -> anyhow::Result<()> {
    let begin = Instant::now();
    while ids.iter().any(|id| is_running(*id)) {
        ensure!(begin.elapsed() < TIMEOUT, "a process does not stop");
        sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// True if a thread of the process can still run.
fn is_running(id: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", id.as_raw_nonzero()));
    threads.into_iter().flatten().flatten().any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state follows the name, which is in brackets and may hold any character (proc(5)).
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        !matches!(state, None | Some('T' | 'Z' | 'X'))
    })
}

#[cfg(test)]
#[path = "tests/stopped.rs"]
mod tests;
