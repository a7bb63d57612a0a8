//! The rooms service. It owns rooms, their members, the rules of both, and the log of ended
//! memberships.
//!
//! It calls no other service. Two users are contacts if they share a system room, which the
//! contacts service asks for. This service knows neither the names of users nor messages.

mod answer_budget;
mod app;
mod background;
mod change_queue;
mod config;
mod error;
mod grpc;
mod member_cache;
mod model;
mod ops;
mod store;

use std::sync::Arc;

use parlance_core::Clock;
use parlance_proto::rooms::rooms_service_server::{self, RoomsServiceServer};
use parlance_runtime::grpc::Credential;
use parlance_runtime::postgres::FailoverGuard;
use parlance_runtime::{Lifecycle, postgres};
use sqlx::migrate::Migrator;
use tokio::sync::watch;
use tonic::service::Routes;

use crate::answer_budget::AnswerBudget;
use crate::app::App;
use crate::background::trim_membership_log;
use crate::change_queue::ChangeQueue;
pub use crate::config::Config;
use crate::member_cache::MemberCache;

/// The name of the service in logs, metrics and database connections.
pub const SERVICE: &str = "rooms";

/// The name of the second pool in metrics and database connections.
const VITAL_POOL: &str = "rooms-vital";

/// The migrations of the schema `rooms`.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// After a failover that may have lost commits: every follower of the log starts anew.
const RAISE: &str = "
    DELETE FROM rooms.membership_log;
    UPDATE rooms.membership_log_floor SET xid = pg_current_xact_id()";

/// Brings the schema up to date, starts the background tasks and serves until the process drains.
pub async fn start(config: Config, clock: Clock, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let credential = Credential::start(&config.grpc.credential, lifecycle)?;
    postgres::migrate(SERVICE, &config.postgres, &MIGRATIONS).await?;
    let [vital, ordinary] = config.postgres.divide();
    let guard = FailoverGuard::start(SERVICE, &config.postgres, RAISE, lifecycle).await;
    let app = App {
        pool: guard.pool(SERVICE, &ordinary)?,
        vital_pool: guard.pool(VITAL_POOL, &vital)?,
        clock,
        lifecycle: lifecycle.clone(),
        member_cache: MemberCache::new(),
        answer_budget: AnswerBudget::new(),
        change_queue: ChangeQueue::default(),
        membership_log_retention: config.membership_log_retention,
        membership_ended: Arc::new(watch::Sender::new(())),
    };
    let trim = trim_membership_log::run(app.clone());
    lifecycle.spawn_background("trimming of the membership log", trim);
    let routes = Routes::new(RoomsServiceServer::new(grpc::Service::new(app)));
    let (listen, name) = (config.grpc.grpc_listen, rooms_service_server::SERVICE_NAME);
    parlance_runtime::grpc::serve(listen, &credential, name, routes, lifecycle).await?;
    lifecycle.set_ready();
    Ok(())
}
