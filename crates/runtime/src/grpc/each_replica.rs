//! A task for each replica of a service, for what must not depend on one of them, such as a stream
//! from each.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::client::{Client, Replica};

impl Client {
    /// Keeps a task for each replica: starts one when a replica appears and drops it when the
    /// replica is gone, after which `has_gone` is called. Returns only when a task has ended by
    /// itself, which is a mistake.
    pub async fn run_for_each_replica<F>(
        &self,
        start: impl Fn(Replica) -> F,
        has_gone: impl Fn(),
    ) -> anyhow::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut replicas = self.replicas();
        let mut tasks = JoinSet::new();
        let mut known: BTreeMap<SocketAddr, AbortHandle> = BTreeMap::new();
        loop {
            let present = replicas.borrow_and_update().clone();
            known.retain(|address, task| {
                let is_present = present.iter().any(|replica| replica.address() == *address);
                if !is_present {
                    task.abort();
                }
                is_present
            });
            for replica in present.iter() {
                known
                    .entry(replica.address())
                    .or_insert_with(|| tasks.spawn(start(replica.clone())));
            }
            tokio::select! {
                changed = replicas.changed() => changed?,
                Some(ended) = tasks.join_next() => {
                    was_dropped(ended)?;
                    has_gone();
                }
            }
        }
    }
}

/// A task ends only when its replica is gone; everything else is a mistake.
fn was_dropped(ended: Result<(), JoinError>) -> anyhow::Result<()> {
    match ended {
        Err(error) if error.is_cancelled() => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => anyhow::bail!("the task of a replica has ended by itself"),
    }
}
