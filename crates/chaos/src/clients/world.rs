//! What all clients of a run share.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parlance_client::{Account, Client, Options, Request};
use parlance_core::Clock;
use serde_json::Value;

use crate::misbehaving;

/// A call fails after this time and is repeated at the next gateway.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How clients reach Parlance.
#[derive(Clone, Debug)]
pub struct Target {
    /// For REST calls. It tries all gateways.
    pub client: Client,
    /// Where WebSocket connections go.
    pub gateways: Vec<SocketAddr>,
    /// How all usernames begin.
    pub username_prefix: String,
}

/// The accounts and rooms of a run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) target: Target,
    pub(crate) clock: Clock,
    pub(crate) users: Vec<Account>,
    pub(crate) rooms: Vec<Room>,
    /// `None` if the run has no misbehaving clients.
    pub(crate) misbehaving: Option<misbehaving::Accounts>,
    pub(crate) counters: Counters,
}

/// A room of the run.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) id: i64,
    /// Indexes of users, the owner first.
    pub(crate) members: Vec<usize>,
}

/// How far the clients are.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) acknowledged: AtomicU64,
    pub(crate) delivered: AtomicU64,
    /// Subscriptions that have got the final message of their room.
    pub(crate) final_messages: AtomicUsize,
}

pub(crate) type SharedWorld = Arc<World>;

impl Target {
    /// All of these gateways, for usernames that begin with `user`.
    pub fn new(gateways: &[SocketAddr]) -> Self {
        let options = Options { timeout: CALL_TIMEOUT, ..Default::default() };
        let (client, username_prefix) =
            (Client::with_options(gateways, options), "user".to_owned());
        Self { client, gateways: gateways.to_vec(), username_prefix }
    }
}

impl World {
    pub(crate) fn new(
        target: Target,
        users: Vec<Account>,
        rooms: Vec<Room>,
        misbehaving: Option<misbehaving::Accounts>,
    ) -> Self {
        let (clock, counters) = (Clock::system(), Counters::default());
        Self { target, clock, users, rooms, misbehaving, counters }
    }

    /// Returns the ids of a user's rooms.
    pub(crate) fn rooms_of(&self, user: usize) -> Vec<i64> {
        let rooms = self.rooms.iter().filter(|room| room.members.contains(&user));
        rooms.map(|room| room.id).collect()
    }

    /// Makes a call that must succeed with status 200.
    pub(crate) async fn get(&self, request: Request) -> anyhow::Result<Value> {
        Ok(self.target.client.send_until_answered(request).await?.expect(200)?)
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        let delivered = self.delivered.load(Ordering::Relaxed);
        write!(f, "{acknowledged} acknowledged, {delivered} delivered")
    }
}
