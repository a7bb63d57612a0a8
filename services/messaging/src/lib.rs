//! Messages, their order, and live events. The only service on the hot path of a message.
//!
//! It knows rooms and users by id only; whether a user may do something it asks the rooms service,
//! every time. The way of a message is `grpc::attach` → [`writer`] → `messaging.write_batch` in
//! Postgres → [`gateways`] and [`bus`]; what that way loses, [`tail`] finds.

mod app;
pub mod bus;
mod config;
mod error;
pub mod gateways;
mod grpc;
mod membership_ends;
pub mod memberships;
mod model;
mod ops;
mod steps;
mod store;
pub mod tail;
mod tombstones;
pub mod writer;

use parlance_runtime::grpc::Credential;
use parlance_runtime::{Lifecycle, postgres};
use sqlx::migrate::Migrator;

pub use crate::config::Config;

/// The name of this service in logs, metrics and database connections.
pub const NAME: &str = "messaging";

/// The migrations of the schema `messaging`.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Brings the schema up to date, connects everything and serves until the process drains.
pub async fn start(config: Config, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let credential = Credential::start(&config.grpc.credential, lifecycle)?;
    postgres::migrate(NAME, &config.postgres, &MIGRATIONS).await?;
    let app = app::App::start(&config, &credential, lifecycle)?;
    grpc::serve(app, config.grpc.grpc_listen, &credential, lifecycle).await?;
    lifecycle.set_ready();
    Ok(())
}
