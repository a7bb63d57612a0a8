//! Starts Parlance on one machine: a private Postgres, a private Redis, and Parlance's processes.
//!
//! `make up` uses it for development; end-to-end tests, `make chaos` and `make bench` use it for
//! stacks of their own. The kernel ends every process that was started here when its parent ends.
//! All servers listen on 127.0.0.1 unless the caller gives another address.

pub mod certificates;
pub mod commands;
mod folder;
mod pgbouncer;
mod port;
mod postgres;
mod process;
mod programs;
mod progress;
mod project;
mod readiness;
mod redis;
mod secrets;
mod spawn;
mod stack;
mod stopped;
mod user;

pub use folder::TemporaryFolder;
pub use pgbouncer::{PgBouncer, PoolMode};
pub use port::{free_address, free_port};
pub use postgres::{Durability, PausedPostgres, Postgres, Settings as PostgresSettings};
pub use process::Process;
pub use progress::Progress;
pub use redis::{Redis, Role as RedisRole, Sentinel, Settings as RedisSettings};
pub use secrets::random_secret;
pub use stack::{Arrow, Stack, StackBuilder, program};
