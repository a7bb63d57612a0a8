//! The synthetic probe: a message that the gateway sends to itself the whole way, to see that
//! messages flow.
//!
//! [`target`] is the account and the room of all gateways' probes, [`round_trip`] sends and
//! receives like a connection of a client, [`metrics`] shows the outcome. The first success makes
//! the gateway ready. Later failures only show as metrics: a failure behind the gateways would
//! otherwise take all of them out of service.

mod metrics;
mod round_trip;
mod target;

pub(crate) use round_trip::Probe;
