//! The auth service. It owns users, their password hashes, the signing keys and the tokens made
//! with them. It knows nothing of contacts, rooms or messages. It does not verify tokens: the
//! gateway does, with the keys that this service publishes.

mod access;
mod access_updates;
mod account;
mod account_turns;
mod app;
mod audit;
mod background;
mod client;
mod client_network;
pub mod commands;
pub mod config;
mod ended_log;
mod error;
mod exchange_metrics;
mod grpc;
mod guessing;
mod hash_queue;
mod hashing;
mod issuers;
mod keys;
mod model;
mod ops;
mod password_rules;
mod passwords;
mod profile_changes;
mod refresh_token;
mod refresh_turns;
mod session_metrics;
mod store;
mod tokens;

use std::sync::Arc;

use parlance_core::Clock;
use parlance_proto::auth::auth_service_server::{self, AuthServiceServer};
use parlance_runtime::grpc::Credential;
use parlance_runtime::postgres::FailoverGuard;
use parlance_runtime::{Lifecycle, postgres};
use sqlx::migrate::Migrator;
use tonic::service::Routes;

use crate::app::App;
use crate::background::{purge_log_ins, purge_sessions, refresh_access, refresh_issuers};
use crate::config::Config;
use crate::ended_log::EndedLog;
use crate::exchange_metrics::ExchangeMetrics;
use crate::guessing::Guessing;
use crate::password_rules::PasswordRules;
use crate::passwords::Passwords;
use crate::refresh_turns::RefreshTurns;
use crate::session_metrics::SessionMetrics;

/// The name of the service in logs, metrics and database connections.
pub const SERVICE: &str = "auth";

/// The migrations of the schema `auth`.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Brings the schema up to date, makes the first key if there is none, and serves until the process
/// drains.
pub async fn start(config: Config, clock: Clock, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let credential = Credential::start(&config.grpc.credential, lifecycle)?;
    postgres::migrate(SERVICE, &config.postgres, &MIGRATIONS).await?;
    let guard = FailoverGuard::start(SERVICE, &config.postgres, "", lifecycle).await;
    let pool = guard.pool(SERVICE, &config.postgres)?;
    ops::make_first_key(&pool, &clock).await?;

    purge_log_ins::start(pool.clone(), lifecycle);
    purge_sessions::start(pool.clone(), clock.clone(), lifecycle);
    let ended = Arc::new(EndedLog::default());
    let access = refresh_access::start(pool.clone(), clock.clone(), ended.clone(), lifecycle);
    let exchange_metrics = ExchangeMetrics::new();
    let issuers = config.accounts.issuers;
    let issuers = refresh_issuers::start(issuers, exchange_metrics.clone(), lifecycle);
    let app = App {
        issuers: issuers.await?,
        exchange_metrics,
        access: access.await?,
        session_metrics: SessionMetrics::new(ended.clone()),
        ended,
        passwords: Passwords::start(&config.passwords).await?,
        guessing: Guessing::new(),
        password_rules: PasswordRules::new(config.accounts.refuse_common_passwords),
        registration: config.accounts.registration,
        tokens: config.tokens,
        sessions: config.sessions,
        refresh_turns: RefreshTurns::default(),
        pool,
        clock,
        lifecycle: lifecycle.clone(),
    };
    let routes = Routes::new(AuthServiceServer::new(grpc::Service::new(app)));
    let (listen, name) = (config.grpc.grpc_listen, auth_service_server::SERVICE_NAME);
    parlance_runtime::grpc::serve(listen, &credential, name, routes, lifecycle).await?;
    lifecycle.set_ready();
    Ok(())
}
