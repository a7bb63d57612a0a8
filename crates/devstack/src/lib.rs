//! Starts what Parlance needs on one machine: a private Postgres, a private Redis, and Parlance's
//! own processes. `make up` uses it for development, the tests use it for stacks of their own.
//! Nothing it starts outlives the process that started it, however that one ends, and nothing it
//! starts is reachable from another machine unless asked for.

pub mod certificates;
pub mod commands;
mod folder;
pub mod handshake;
mod port;
mod postgres;
mod probe;
mod process;
mod programs;
mod progress;
mod project;
mod redis;
mod secrets;
mod spawner;
mod stack;
pub mod testing;
mod user;

pub use port::free_port;
pub use postgres::{Durability, Postgres};
pub use process::Process;
pub use progress::spinner;
pub use redis::Redis;
pub use stack::{Arrow, Stack, StackBuilder};
