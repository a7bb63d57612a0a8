//! The rooms service: rooms, their members, the rules of both, and the log of ended memberships.
//!
//! It calls nobody. Two users are contacts for it when they share a system room, which the contacts
//! service asks it to make. It knows neither names of users nor messages.

mod app;
mod config;
mod error;
mod grpc;
mod model;
mod ops;
mod rosters;
mod store;

use parlance_core::Clock;
use parlance_proto::rooms::rooms_service_server::{self, RoomsServiceServer};
use parlance_runtime::config::PostgresConfig;
use parlance_runtime::grpc::Credential;
use parlance_runtime::{Lifecycle, postgres};
use sqlx::migrate::Migrator;
use tonic::service::Routes;

pub use crate::config::Config;

/// The name of the service in logs, metrics and at the database.
pub const SERVICE: &str = "rooms";

/// The migrations of the schema `rooms`.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Brings the schema up to date, starts the background tasks and serves until the process drains.
pub async fn start(config: Config, clock: Clock, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let credential = Credential::start(&config.grpc.credential, lifecycle)?;
    postgres::migrate(SERVICE, &config.postgres, &MIGRATIONS).await?;
    let app = app::App::new(&config, clock, lifecycle)?;
    lifecycle.spawn_background(
        "trimming of the membership log",
        ops::trim_membership_log::run(app.clone()),
    );
    let routes = Routes::new(RoomsServiceServer::new(grpc::Api::new(app)));
    let (listen, name) = (config.grpc.grpc_listen, rooms_service_server::SERVICE_NAME);
    parlance_runtime::grpc::serve(listen, &credential, name, routes, lifecycle).await?;
    lifecycle.set_ready();
    Ok(())
}

/// Brings the schema up to date.
pub async fn migrate(config: &PostgresConfig) -> anyhow::Result<()> {
    postgres::migrate(SERVICE, config, &MIGRATIONS).await
}

/// Lists the migrations and whether each was applied, and changes nothing.
pub async fn migration_status(config: &PostgresConfig) -> anyhow::Result<String> {
    postgres::migration_status(SERVICE, config, &MIGRATIONS).await
}
