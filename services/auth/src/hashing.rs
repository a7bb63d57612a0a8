//! The threads on which passwords are hashed. They do nothing else, and let everything else on the
//! machine go first.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::priority;

/// A number of threads. They end when this value is dropped, which does not wait for what they are
/// about.
#[derive(Debug)]
pub(crate) struct HashThreads {
    /// Runs no tasks: only its threads for blocking work are used.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl HashThreads {
    pub(crate) fn new(count: usize) -> io::Result<Self> {
        priority::lower_own_session();
        let runtime = Builder::new_current_thread()
            .thread_name("hashing")
            .max_blocking_threads(count)
            .on_thread_start(priority::lower_this_thread)
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    /// Starts a job as soon as a thread is free. What waits is for the caller to bound.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn_blocking(job)
    }
}

impl Drop for HashThreads {
    fn drop(&mut self) {
        // Dropped as it is, a runtime would wait for its threads, which the one that drops this
        // value must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use procfs::sys::kernel::Version;
    use rustix::process::getpriority_process;

    use super::*;

    /// The priority of a process is that of its calling thread.
    fn niceness() -> i32 {
        getpriority_process(None).unwrap()
    }

    /// In nanoseconds.
    fn slice() -> u64 {
        let attributes = std::fs::read_to_string("/proc/thread-self/sched").unwrap();
        let line = attributes.lines().find(|line| line.starts_with("se.slice")).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn hashing_lets_everything_else_go_first() {
        let before = niceness();
        let threads = HashThreads::new(1).unwrap();
        assert_eq!(threads.run(niceness).await.unwrap(), (before + 10).min(19));
        assert_eq!(niceness(), before);
    }

    #[tokio::test]
    async fn hashing_leaves_the_core_to_whoever_wakes_up() {
        if Version::current().unwrap() < Version::new(6, 12, 0) {
            return;
        }
        let before = slice();
        let threads = HashThreads::new(1).unwrap();
        assert_eq!(threads.run(slice).await.unwrap(), 5_000_000);
        assert_eq!(slice(), before);
    }

    #[tokio::test]
    async fn a_job_that_panics_takes_nothing_with_it() {
        let threads = HashThreads::new(1).unwrap();
        threads.run(|| assert_eq!(1, 2)).await.unwrap_err();
        assert_eq!(threads.run(|| 3).await.unwrap(), 3);
    }
}
