//! Messages, their order, and live events. The only service on the hot path of a message.
//!
//! It knows rooms and users by id only, and asks the rooms service whether a user is a member, each
//! time. A message passes `grpc::attach`, `ops::send_messages`, the SQL function
//! `messaging.write_batch`, and then `streams` and `pubsub`. What Redis loses,
//! `background::log_poller` finds.

mod app;
mod background;
mod clients;
mod config;
mod encode;
mod error;
mod grpc;
mod model;
mod ops;
mod pubsub;
mod store;
mod streams;

use parlance_runtime::grpc::Credential;
use parlance_runtime::{Lifecycle, postgres};
use sqlx::migrate::Migrator;

pub use crate::config::Config;

/// The name of this service in logs, metrics and database connections.
pub const NAME: &str = "messaging";

/// The migrations of the schema `messaging`.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Migrates the schema, starts all parts and serves until the process drains.
pub async fn start(config: Config, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let credential = Credential::start(&config.grpc.credential, lifecycle)?;
    postgres::migrate(NAME, &config.postgres, &MIGRATIONS).await?;
    let app = app::App::start(&config, &credential, lifecycle).await?;
    grpc::serve(app, config.grpc.grpc_listen, &credential, lifecycle).await?;
    lifecycle.set_ready();
    Ok(())
}
