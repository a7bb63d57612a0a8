//! Idle clients: very many sockets that are open and subscribed, and send nothing.

use std::net::Ipv4Addr;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;

use crate::setup::{Group, Setup, loopback};
use crate::ws::Socket;

/// Sockets that are being opened.
const CONCURRENCY: usize = 64;
/// Local addresses that the sockets come from.
const LOCAL_ADDRESSES: usize = 10;

/// Sockets of the members of some groups, in turn. They end when this value is dropped.
#[derive(Debug, Default)]
pub(crate) struct IdleClients {
    sockets: JoinSet<anyhow::Error>,
    count: usize,
}

impl IdleClients {
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Opens more sockets.
    pub(crate) async fn open(
        &mut self,
        setup: &Setup,
        groups: &[Group],
        more: usize,
    ) -> anyhow::Result<()> {
        let mut opening = stream::iter(self.count..self.count + more)
            .map(|number| connect(setup, groups, number))
            .buffer_unordered(CONCURRENCY);
        while let Some(socket) = opening.try_next().await? {
            self.sockets.spawn(async { socket.hold().await.context("an idle socket") });
            self.count += 1;
        }
        self.ensure_complete()
    }

    /// Returns an error if a socket has ended.
    pub(crate) fn ensure_complete(&mut self) -> anyhow::Result<()> {
        match self.sockets.try_join_next() {
            Some(ended) => Err(ended?),
            None => Ok(()),
        }
    }
}

/// Returns the local address of the client with this number, its room and its token.
pub(crate) fn client(groups: &[Group], number: usize) -> (Ipv4Addr, i64, &str) {
    let group = &groups[number % groups.len()];
    let member = &group.members[number / groups.len() % group.members.len()];
    (loopback(number % LOCAL_ADDRESSES), group.room, &member.token)
}

async fn connect(setup: &Setup, groups: &[Group], number: usize) -> anyhow::Result<Socket> {
    let (local_address, room, token) = client(groups, number);
    let connecting = setup.endpoint(number).connect(Some(local_address), Some(token));
    let mut socket = connecting.await.context("cannot open a socket")?;
    socket.subscribe(room, None).await?;
    Ok(socket)
}
