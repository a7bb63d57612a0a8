//! The task that keeps a client's list of replicas: it resolves the names again and again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::connect::Target;
use super::replica_channel::Replica;

const RESOLVE_INTERVAL: Duration = Duration::from_secs(2);

/// Resolves the targets for ever and publishes the replicas whenever they change. A replica that
/// stays keeps its connection.
pub(super) async fn resolve_forever(
    service: &'static str,
    targets: Vec<Target>,
    replicas: watch::Sender<Arc<[Replica]>>,
) -> anyhow::Result<()> {
    let mut known: BTreeMap<SocketAddr, Replica> = BTreeMap::new();
    loop {
        let found = resolve(service, &targets).await;
        // While no name can be resolved, the client keeps the replicas that it knows.
        if !found.is_empty() && !found.keys().eq(known.keys()) {
            known = found
                .into_iter()
                .filter_map(|(address, target)| {
                    let replica = known.remove(&address);
                    Some((address, replica.or_else(|| Replica::new(address, target).ok())?))
                })
                .collect();
            tracing::info!(service, replicas = known.len(), "the replicas of a service changed");
            replicas.send_replace(known.values().cloned().collect());
        }
        sleep(RESOLVE_INTERVAL).await;
    }
}

/// Returns the addresses behind the targets, in order. A name that cannot be resolved adds none.
async fn resolve<'a>(
    service: &'static str,
    targets: &'a [Target],
) -> BTreeMap<SocketAddr, &'a Target> {
    let mut found = BTreeMap::new();
    for target in targets {
        let name = &target.name;
        let error = match timeout(RESOLVE_INTERVAL, lookup_host(name)).await {
            Ok(Ok(addresses)) => {
                found.extend(addresses.map(|address| (address, target)));
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the name server did not respond in time".to_owned(),
        };
        tracing::warn!(service, name, error, "could not resolve the name of a service; retrying");
    }
    found
}
