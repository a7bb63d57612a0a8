//! What misbehaving clients act on.

use std::net::SocketAddr;

use parlance_client::Account;
use tokio::time::Instant;

/// The accounts of misbehaving clients, and their rooms.
#[derive(Debug)]
pub(crate) struct Accounts {
    /// A member of some rooms of the other users, and of `own_room`.
    pub(crate) reader: Account,
    /// The owner of `own_room`.
    pub(crate) sender: Account,
    pub(crate) own_room: i64,
    /// Rooms of the other users.
    pub(crate) busy_rooms: Vec<i64>,
}

/// One gateway, and how long to misbehave there.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) accounts: &'a Accounts,
    pub(super) gateway: SocketAddr,
    pub(super) until: Instant,
}
