//! The loads: what the clients of a scenario do.

mod arrivals;
pub mod fan_out;
pub(crate) mod idle;
pub mod in_flight;
mod message;
pub mod open_loop;
pub mod pacer;
pub(crate) mod reconnect;
pub mod requests;
pub mod sends;

pub use message::CONTENT;
