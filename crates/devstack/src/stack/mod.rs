//! All of Parlance as real processes: a private Postgres, a private Redis, and any number of
//! replicas of each part.

mod builder;
mod database;
mod encryption;
mod parts;
mod plan;
mod running;
mod start;
mod wiring;

pub use builder::StackBuilder;
pub(crate) use parts::SERVICES;
pub use parts::program;
pub(crate) use plan::Plan;
pub use running::Stack;
pub use wiring::Arrow;
pub(crate) use wiring::Wiring;
