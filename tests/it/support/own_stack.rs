//! Stacks for tests that inject faults or need settings of their own.

use std::time::Duration;

use parlance_devstack::{Stack, StackBuilder};
use tokio::sync::Semaphore;

/// The longest time for recovery on a busy machine.
pub(crate) const RECOVERY: Duration = Duration::from_secs(20);
/// The longest time for a restart of a process.
pub(crate) const RESTART: Duration = Duration::from_secs(30);
/// How many lines of each log a failed test shows.
const MAX_COMPLAINTS: usize = 10;

/// How many stacks run at once: the machine is small.
static STACKS: Semaphore = Semaphore::const_new(2);

/// Runs a test on a stack of its own.
pub(crate) async fn on_stack(replicas: usize, gateways: usize, test: impl AsyncFnOnce(&Stack)) {
    on_own_stack(Stack::builder().replicas(replicas).gateways(gateways), test).await;
}

/// Runs a test on a stack with other settings.
pub(crate) async fn on_own_stack(builder: StackBuilder, test: impl AsyncFnOnce(&Stack)) {
    let _permit = STACKS.acquire().await.unwrap();
    let stack = builder.start().await.unwrap();
    let _complaints = Complaints(&stack);
    test(&stack).await;
}

/// Prints the warnings in the logs of a stack when its test fails.
struct Complaints<'a>(&'a Stack);

impl Drop for Complaints<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for process in self.0.processes() {
            let log = std::fs::read(process.log()).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let is_complaint = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
            let complaints: Vec<&str> = log.lines().filter(is_complaint).collect();
            for line in &complaints[complaints.len().saturating_sub(MAX_COMPLAINTS)..] {
                eprintln!("{}: {line}", process.name());
            }
        }
    }
}
