//! The auth service. It owns users, their password hashes, the signing keys and the tokens made
//! with them. It knows nothing of contacts, rooms or messages, and does not verify tokens: the
//! gateway does, with the keys published here.

mod access;
mod app;
pub mod commands;
pub mod config;
mod error;
mod grpc;
mod hashing;
mod keys;
mod model;
mod ops;
mod passwords;
mod priority;
mod store;
mod tokens;

use std::sync::Arc;

use parlance_core::Clock;
use parlance_runtime::grpc::Credential;
use parlance_runtime::{Lifecycle, postgres};
use sqlx::migrate::Migrator;

use crate::app::App;
use crate::config::Config;
pub use crate::model::User;
use crate::passwords::Passwords;

/// The name of the service, in logs and to Postgres.
pub const SERVICE: &str = "auth";
/// The migrations of the schema `auth`.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Brings the schema up to date, makes the first key if there is none, and serves until the process
/// drains.
pub async fn start(config: Config, clock: Clock, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let credential = Credential::start(&config.grpc.credential, lifecycle)?;
    postgres::migrate(SERVICE, &config.postgres, &MIGRATOR).await?;
    let pool = postgres::pool(SERVICE, &config.postgres)?;
    ops::make_first_key::make_first_key(&pool, &clock).await?;

    let app = App {
        access: access::start(pool.clone(), clock.clone(), lifecycle).await?,
        passwords: Passwords::start(&config.passwords).await?,
        tokens: config.tokens,
        pool,
        clock,
        draining: lifecycle.draining().clone(),
    };
    let routes = grpc::routes(Arc::new(app));
    let listen = config.grpc.grpc_listen;
    parlance_runtime::grpc::serve(
        listen,
        &credential,
        "parlance.auth.v1.AuthService",
        routes,
        lifecycle,
    )
    .await?;
    lifecycle.set_ready();
    Ok(())
}
