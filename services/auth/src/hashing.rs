//! The threads on which passwords are hashed. They do nothing else and run at a lower priority than
//! all other threads.

use std::io;

use rustix::process::nice;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// Beside another thread that uses all of a core, a hash still gets a tenth of it.
const NICENESS: i32 = 10;

/// A fixed number of threads. They end when this value is dropped; dropping it does not wait for
/// the hash in progress.
#[derive(Debug)]
pub(crate) struct HashThreads {
    /// Runs no tasks: only its threads for blocking work are used.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl HashThreads {
    pub(crate) fn new(count: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .thread_name("hashing")
            .max_blocking_threads(count)
            .on_thread_start(lower_thread_priority)
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    /// Starts a job as soon as a thread is free. The caller bounds how many jobs wait.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn_blocking(job)
    }
}

impl Drop for HashThreads {
    fn drop(&mut self) {
        // Dropping a runtime waits for its threads and panics inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Linux applies the niceness to the calling thread only.
fn lower_thread_priority() {
    if let Err(error) = nice(NICENESS) {
        tracing::warn!(%error, "cannot lower the priority of hashing; other work may slow down");
    }
}

#[cfg(test)]
#[path = "tests/hashing.rs"]
mod tests;
