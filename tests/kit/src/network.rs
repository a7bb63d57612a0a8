//! A network in which the host behind an address can vanish, and another can take its place.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A TCP proxy. When its target vanishes, connections stay open and no byte passes, as if every
/// packet was dropped. It ends when it is dropped.
#[derive(Debug)]
pub struct Network {
    address: SocketAddr,
    /// `None` while no host has the address.
    target: watch::Sender<Option<SocketAddr>>,
    _task: JoinSet<()>,
}

impl Network {
    /// Starts a proxy to a server.
    pub async fn to(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
        let address = listener.local_addr()?;
        let (sender, mut current) = watch::channel(Some(target));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let target = *current.borrow_and_update();
                connections.spawn(forward(client, target, current.clone()));
            }
        });
        Ok(Self { address, target: sender, _task: task })
    }

    /// The address for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of Postgres with this address in place of its own.
    pub fn url(&self, url: &str) -> String {
        let (before, after) = url.rsplit_once('@').unwrap_or(("", url));
        let path = after.find('/').map_or("", |index| &after[index..]);
        format!("{before}@{}{path}", self.address)
    }

    /// Drops every packet of present and new connections. Present ones stay silent for ever.
    pub fn vanish(&self) {
        self.target.send_replace(None);
    }

    /// Lets new connections reach another server. Present ones fall silent.
    pub fn lead_to(&self, target: SocketAddr) {
        self.target.send_replace(Some(target));
    }
}

/// Forwards until one side closes, or until the target changes: then holds both sides open.
async fn forward(
    mut client: TcpStream,
    target: Option<SocketAddr>,
    mut changes: watch::Receiver<Option<SocketAddr>>,
) {
    let server = match target {
        Some(target) => TcpStream::connect(target).await.ok(),
        None => return std::future::pending().await,
    };
    let Some(mut server) = server else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = changes.changed() => std::future::pending().await,
    }
}
