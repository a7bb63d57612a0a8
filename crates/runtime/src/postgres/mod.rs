//! Postgres: a pool whose waits are all bounded, and the migrations of a service's schema.

mod connect;
mod error;
mod failover;
mod migrate;
mod patience;
mod pool;
mod pooler;
mod renewal;

pub use self::connect::pool;
pub use self::error::{code_from_error, is_lock_timeout};
pub use self::failover::FailoverGuard;
pub use self::migrate::{migrate, migration_status};
pub use self::pool::{Pool, PooledConnection, Transaction};
pub use self::renewal::note_error;
