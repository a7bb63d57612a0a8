//! The threads on which a program runs its tasks.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use anyhow::Context;
use tokio::runtime::Builder;

/// How many of the cores that a process may use it takes for its tasks, if it is not told
/// otherwise: at least one. Tasks that wait for one another across threads wake these up all the
/// time, which costs more than it brings where others need the cores as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// All of them: for the gateway, which writes to very many sockets at once.
    AllCores,
    /// Half of them: for services, which share a machine with whom they serve and with their store.
    HalfTheCores,
}

impl Threads {
    /// Runs a program to its end. `told` is the setting `WORKER_THREADS`.
    pub fn run<T>(
        self,
        told: Option<NonZeroUsize>,
        program: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let threads = told.map_or_else(|| self.of(cores()), NonZeroUsize::get);
        let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
        runtime.context("cannot start threads")?.block_on(program)
    }

    fn of(self, cores: usize) -> usize {
        match self {
            Self::AllCores => cores,
            Self::HalfTheCores => (cores / 2).max(1),
        }
    }
}

/// How many the process may use; a limit of its container counts. One when the system does not say.
fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_takes_half_of_the_cores_and_at_least_one() {
        assert_eq!([1, 2, 3, 8].map(|cores| Threads::HalfTheCores.of(cores)), [1, 1, 1, 4]);
        assert_eq!([1, 2, 3, 8].map(|cores| Threads::AllCores.of(cores)), [1, 2, 3, 8]);
    }

    #[test]
    fn a_program_runs_on_as_many_threads_as_it_is_told() {
        let workers = async { Ok(tokio::runtime::Handle::current().metrics().num_workers()) };
        assert_eq!(Threads::HalfTheCores.run(NonZeroUsize::new(3), workers).unwrap(), 3);
    }
}
