//! Simulated clients: what users do over WebSocket and REST while faults are injected. Each task
//! returns what it has recorded.

mod admin;
mod phase;
mod sender;
mod session;
mod subscriber;
mod workload;
mod world;

pub(crate) use admin::{make_contacts, remove_members};
pub(crate) use phase::{Phase, Phases, reached};
pub use sender::FINAL_MESSAGE;
pub(crate) use session::end_sessions;
pub(crate) use workload::{Workload, join_all};
pub use world::Target;
pub(crate) use world::{Counters, Room, SharedWorld, World};
