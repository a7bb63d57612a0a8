//! The synthetic probe: the gateway sends a message through rooms, messaging and the store, and
//! waits for its event, to see that messages flow.
//!
//! [`target`] is the account and the room of all gateways' probes, [`round_trip`] sends and
//! receives like the connection of a client, [`metrics`] has the results. The first success makes
//! the gateway ready. Later failures do not revoke readiness: a failure behind the gateways would
//! take all of them out of service.

mod metrics;
mod round_trip;
mod target;

pub(crate) use round_trip::Probe;
