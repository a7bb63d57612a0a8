//! Limits on what one client may use of this gateway: sockets, connections, rooms, frames, log-ins.
//!
//! Each gateway counts in its own memory. What is over a limit is refused as `rate_limited` and can
//! be retried a second later, or after the time that the answer names. The defaults are far above
//! what a person, a page or a busy program uses, and bound what one client can cost. Requests in
//! flight and queued frames are bounded by the connection itself, with settings from here.

mod address;
mod bucket;
mod client_limits;
mod config;
mod permits;

pub(crate) use crate::limits::address::ClientAddress;
pub use crate::limits::address::TrustedProxies;
pub(crate) use crate::limits::bucket::TokenBucket;
pub(crate) use crate::limits::client_limits::{ClientLimits, ConnectionPermit, SocketPermit};
pub use crate::limits::config::LimitsConfig;
