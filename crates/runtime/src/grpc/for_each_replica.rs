//! One task for each replica of a service, such as a stream to each, so that no replica holds up
//! another.

use std::net::SocketAddr;

use anyhow::bail;
use tokio_util::task::JoinMap;

use super::client::Client;
use super::replica_channel::Replica;

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
        let mut tasks: JoinMap<SocketAddr, ()> = JoinMap::new();
        loop {
            let present = replicas.borrow_and_update().clone();
            let is_gone = |address: &_| present.iter().all(|replica| replica.address() != *address);
            tasks.abort_matching(is_gone);
            for replica in present.iter() {
                // The task of a replica that comes back is started when the aborted one has ended.
                if !tasks.contains_key(&replica.address()) {
                    tasks.spawn(replica.address(), start(replica.clone()));
                }
            }
            tokio::select! {
                changed = replicas.changed() => changed?,
                Some((_, result)) = tasks.join_next() => match result {
                    Err(error) if error.is_cancelled() => on_removed(),
                    Err(error) => return Err(error.into()),
                    Ok(()) => bail!("the task of a replica ended by itself"),
                },
            }
        }
    }
}
