//! The contacts service. It owns the states of pairs of users: no relation, invited, contacts.
//!
//! It knows users by id only. Of rooms it knows only that two contacts get a system room: it calls
//! the rooms service for it, and retries until the room is made.

mod app;
mod background;
mod clients;
mod config;
mod error;
mod grpc;
mod model;
mod ops;
mod store;

use parlance_core::Clock;
use parlance_proto::contacts::contacts_service_server::{self, ContactsServiceServer};
use parlance_runtime::grpc::Credential;
use parlance_runtime::postgres::FailoverGuard;
use parlance_runtime::{Lifecycle, postgres};
use sqlx::migrate::Migrator;
use tonic::service::Routes;

use crate::app::App;
use crate::background::{delete_expired, make_system_rooms};
use crate::clients::rooms::RoomsClient;
pub use crate::config::Config;

/// The name of the service in logs, metrics and database connections.
pub const SERVICE: &str = "contacts";

/// The migrations of the schema `contacts`.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Brings the schema up to date, starts the background tasks and serves until the process drains.
pub async fn start(config: Config, clock: Clock, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let credential = Credential::start(&config.grpc.credential, lifecycle)?;
    postgres::migrate(SERVICE, &config.postgres, &MIGRATIONS).await?;
    let guard = FailoverGuard::start(SERVICE, &config.postgres, "", lifecycle).await;
    let app = App {
        pool: guard.pool(SERVICE, &config.postgres)?,
        clock,
        lifecycle: lifecycle.clone(),
        rooms: RoomsClient::new(config.rooms_addresses, &credential, lifecycle)?,
        invitation_ttl: config.invitation_ttl,
        max_open_invitations: config.max_open_invitations,
    };
    lifecycle.spawn_background("making of system rooms", make_system_rooms::run(app.clone()));
    lifecycle.spawn_background("deletion of expired invitations", delete_expired::run(app.clone()));
    let routes = Routes::new(ContactsServiceServer::new(grpc::Service::new(app)));
    let (listen, name) = (config.grpc.grpc_listen, contacts_service_server::SERVICE_NAME);
    parlance_runtime::grpc::serve(listen, &credential, name, routes, lifecycle).await?;
    lifecycle.set_ready();
    Ok(())
}
