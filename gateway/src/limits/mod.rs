//! Limits on what one client may use of this gateway: TCP connections, sockets, connections, rooms,
//! requests in flight, frames, log-ins, memory of requests.
//!
//! Each gateway counts in its own memory. What is over a limit is refused as `rate_limited` and can
//! be retried a second later, or after the time that the answer names. The defaults are far above
//! what a person, a page or a busy program uses, and bound what one client can cost. The requests
//! in flight and the queued frames of one connection are bounded by the connection itself, with
//! settings from here.

mod address;
mod bucket;
mod client_limits;
mod config;
mod input;
mod open_files;
mod permits;
mod tcp;
mod user_share;

pub(crate) use crate::limits::address::ClientAddress;
pub use crate::limits::address::TrustedProxies;
pub(crate) use crate::limits::bucket::{Refill, TokenBucket};
pub(crate) use crate::limits::client_limits::{
    ClientLimits, ConnectionPermit, SocketPermit, SubscriptionPermit,
};
pub use crate::limits::config::LimitsConfig;
pub(crate) use crate::limits::input::{InputLimits, InputShare};
pub use crate::limits::tcp::TcpConfig;
pub(crate) use crate::limits::tcp::{TcpLimits, TcpPermit};
#[cfg(test)]
pub(crate) use crate::limits::user_share::UserShares;
pub(crate) use crate::limits::user_share::{InFlightPermit, UserShare};
