//! Scenarios: each measures one promise under the condition that is hardest for it, and makes a
//! report of its own.

mod hostile;
mod measured;
mod redis_away;
mod remote_hosts;
mod scenario;
mod slow_readers;

pub use measured::Measured;
pub use remote_hosts::RemoteHosts;
pub use scenario::Scenario;
