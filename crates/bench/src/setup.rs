//! Accounts, contacts and rooms that a scenario needs before anything is measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use parlance_client::{Account, Client, Options};
use parlance_devstack::Stack;

use crate::ws::{Endpoint, Socket};

/// Addresses that set-up calls come from: a gateway limits the registrations from one address.
const LOCAL_ADDRESSES: usize = 16;
/// Sockets that are being opened.
const SOCKET_CONCURRENCY: usize = 32;
const WEBSOCKET_PATH: &str = "/v1/messages/ws";

/// Creates accounts and rooms through the gateways of a stack.
#[derive(Debug)]
pub(crate) struct Setup {
    client: Client,
    /// Calls in flight.
    concurrency: usize,
    accounts: AtomicUsize,
}

/// A room and its members.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The id of the room.
    pub(crate) room: i64,
    /// The owner first.
    pub(crate) members: Vec<Account>,
}

impl Setup {
    /// Uses the first gateways of a stack.
    pub(crate) fn new(stack: &Stack, gateways: usize, concurrency: usize) -> Self {
        let gateways: Vec<_> = (0..gateways).map(|index| stack.address("gateway", index)).collect();
        let local_addresses = (0..LOCAL_ADDRESSES).map(loopback).collect();
        let options = Options { local_addresses, ..Options::default() };
        let client = Client::with_options(gateways, options);
        Self { client, concurrency, accounts: AtomicUsize::new(0) }
    }

    /// Returns the client of all gateways.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the addresses of the gateways.
    pub(crate) fn gateways(&self) -> &[SocketAddr] {
        self.client.gateways()
    }

    /// Returns where the socket with this number connects: the gateways take turns.
    pub(crate) fn endpoint(&self, number: usize) -> Endpoint {
        let gateways = self.gateways();
        Endpoint { address: gateways[number % gateways.len()], path: WEBSOCKET_PATH }
    }

    /// Opens the socket with this number.
    pub(crate) async fn connect(&self, number: usize, account: &Account) -> anyhow::Result<Socket> {
        self.endpoint(number).connect(None, Some(&account.token)).await
    }

    /// Opens a socket for each account, and subscribes each to a room.
    pub(crate) async fn subscribe(
        &self,
        subscriptions: impl Iterator<Item = (i64, &Account)>,
    ) -> anyhow::Result<Vec<Socket>> {
        let connecting =
            stream::iter(subscriptions.enumerate()).map(|(number, (room, account))| async move {
                let mut socket = self.connect(number, account).await?;
                socket.subscribe(room, None).await?;
                Ok(socket)
            });
        connecting.buffered(SOCKET_CONCURRENCY).try_collect().await
    }

    /// Registers users and logs them in.
    pub(crate) async fn accounts(&self, count: usize) -> anyhow::Result<Vec<Account>> {
        let creating = stream::iter(0..count).map(|_| async {
            let number = self.accounts.fetch_add(1, Ordering::Relaxed);
            self.client.create_account(&format!("user{number}")).await
        });
        let accounts = creating.buffered(self.concurrency).try_collect().await;
        accounts.context("cannot create accounts")
    }

    /// Makes a user a contact of all others.
    pub(crate) async fn contacts(&self, user: &Account, others: &[Account]) -> anyhow::Result<()> {
        let inviting = stream::iter(others).map(|other| self.client.make_contacts(user, other));
        let invited = inviting.buffer_unordered(self.concurrency).try_collect().await;
        invited.context("cannot make contacts")
    }

    /// Creates rooms with the same members. The first member is the owner and has the others as
    /// contacts.
    pub(crate) async fn rooms(
        &self,
        members: &[Account],
        count: usize,
    ) -> anyhow::Result<Vec<i64>> {
        let (owner, others) = members.split_first().context("a room needs an owner")?;
        let others: Vec<&Account> = others.iter().collect();
        let creating = stream::iter(0..count).map(|_| self.client.create_room(owner, &others));
        creating.buffered(self.concurrency).try_collect().await.context("cannot create rooms")
    }

    /// Creates accounts and a room of all of them.
    pub(crate) async fn group(&self, size: usize) -> anyhow::Result<Group> {
        let members = self.accounts(size).await?;
        self.contacts(&members[0], &members[1..]).await?;
        let room = self.rooms(&members, 1).await?[0];
        Ok(Group { room, members })
    }
}

/// Returns one of the loopback addresses of this machine.
pub(crate) fn loopback(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 1 + (number % 250) as u8)
}
