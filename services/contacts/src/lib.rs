//! The contacts service: how two users stand to each other, which is nothing, invited, or contacts.
//!
//! It knows users by id only, and of rooms only that two contacts get a system room: it asks the
//! rooms service for it, and goes on asking until the room is there.

mod app;
mod config;
mod error;
mod grpc;
mod model;
mod ops;
mod rooms;
mod store;

use parlance_core::Clock;
use parlance_proto::contacts::contacts_service_server::{self, ContactsServiceServer};
use parlance_runtime::config::PostgresConfig;
use parlance_runtime::grpc::Credential;
use parlance_runtime::{Lifecycle, postgres};
use sqlx::migrate::Migrator;
use tonic::service::Routes;

pub use crate::config::Config;

/// The name of the service in logs, metrics and at the database.
pub const SERVICE: &str = "contacts";

/// The migrations of the schema `contacts`.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Brings the schema up to date, starts the background tasks and serves until the process drains.
pub async fn start(config: Config, clock: Clock, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let credential = Credential::start(&config.grpc.credential, lifecycle)?;
    postgres::migrate(SERVICE, &config.postgres, &MIGRATIONS).await?;
    let app = app::App::new(&config, &credential, clock, lifecycle)?;
    lifecycle.spawn_background("making of system rooms", ops::make_system_rooms::run(app.clone()));
    let routes = Routes::new(ContactsServiceServer::new(grpc::Api::new(app)));
    let (listen, name) = (config.grpc.grpc_listen, contacts_service_server::SERVICE_NAME);
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
