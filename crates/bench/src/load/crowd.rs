//! Very many sockets that are open and subscribed, and say nothing.

use std::net::Ipv4Addr;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;

use crate::api::{Api, Circle, loopback};
use crate::wire::CountingSocket;

/// Sockets that are opened at once.
const AT_ONCE: usize = 64;
/// Addresses of this machine that the sockets come from.
const SOURCES: usize = 10;

/// Sockets of all people in some rooms, in turn. They end when this value is dropped.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    sockets: JoinSet<anyhow::Error>,
    size: usize,
}

impl Crowd {
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Opens more sockets.
    pub(crate) async fn grow(
        &mut self,
        api: &Api,
        circles: &[Circle],
        more: usize,
    ) -> anyhow::Result<()> {
        let numbers = self.size..self.size + more;
        let mut opening = stream::iter(numbers)
            .map(|number| open(api, circles, number))
            .buffer_unordered(AT_ONCE);
        while let Some(socket) = opening.try_next().await? {
            self.sockets.spawn(hold(socket));
            self.size += 1;
        }
        self.ensure_complete()
    }

    /// An error if a socket has ended.
    pub(crate) fn ensure_complete(&mut self) -> anyhow::Result<()> {
        match self.sockets.try_join_next() {
            Some(ended) => Err(ended?),
            None => Ok(()),
        }
    }
}

/// Where a socket comes from, which room it listens to, and as whom.
pub(crate) fn seat(circles: &[Circle], number: usize) -> (Ipv4Addr, i64, &str) {
    let circle = &circles[number % circles.len()];
    let member = &circle.members[number / circles.len() % circle.members.len()];
    (loopback((number % SOURCES) as u8), circle.room, &member.token)
}

async fn open(api: &Api, circles: &[Circle], number: usize) -> anyhow::Result<CountingSocket> {
    let (from, room, token) = seat(circles, number);
    let mut socket = api.door(number).open(Some(from), Some(token)).await.context("a socket")?;
    socket.subscribe(&[room]).await?;
    socket.into_counting()
}

/// Answers pings until the connection ends.
async fn hold(mut socket: CountingSocket) -> anyhow::Error {
    loop {
        if let Err(error) = socket.read().await {
            return error.context("a socket that was idle");
        }
    }
}
