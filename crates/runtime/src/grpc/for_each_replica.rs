//! One task for each replica of a service, such as a stream to each, so that no replica holds up
//! another.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::client::Client;
use super::replica::Replica;

impl Client {
    /// Starts a task for each replica that appears. When a replica is gone, drops its task and then
    /// calls `on_removed`. Returns only if a task ends by itself, which is a bug.
    pub async fn run_for_each_replica<F>(
        &self,
        start: impl Fn(Replica) -> F,
        on_removed: impl Fn(),
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
                Some(result) = tasks.join_next() => {
                    check_aborted(result)?;
                    on_removed();
                }
            }
        }
    }
}

fn check_aborted(result: Result<(), JoinError>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.is_cancelled() => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => anyhow::bail!("the task of a replica ended by itself"),
    }
}
