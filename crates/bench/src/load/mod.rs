//! The loads: what the clients of a scenario do.

mod arrivals;
pub mod fan_out;
pub(crate) mod idle;
mod in_flight;
mod message;
pub(crate) mod open_loop;
mod pacer;
pub(crate) mod reconnect;
pub mod requests;
pub(crate) mod sends;

pub use message::CONTENT;
