//! The gateway: HTTP, WebSocket and JSON on one side, gRPC on the other. It verifies tokens, checks
//! syntax, translates, joins users into answers and fans events out to sockets. It has no database
//! and no rule of business beyond syntax.

pub mod api;
mod app;
mod auth;
mod cache;
mod config;
mod error;
mod fanout;
mod http;
mod limits;
mod messaging_client;
mod probe;
mod router;
mod ws;

use anyhow::Context as _;
use parlance_core::Clock;
use parlance_runtime::Lifecycle;

use crate::app::App;
pub use crate::config::{AllowedOrigins, Config};
pub use crate::limits::{LimitsConfig, TrustedProxies};
use crate::probe::Probe;

/// The name of this process in logs and metrics.
pub const NAME: &str = "gateway";

/// Starts to serve. The process is ready as soon as it knows which tokens to accept and a message
/// has gone the whole way once; until then it answers, with 503 where it has to.
pub async fn start(config: Config, clock: Clock, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let listen = config.listen;
    let listener = http::server::listen(listen)
        .with_context(|| format!("cannot listen on {listen} (LISTEN)"))?;
    let proxies = config.limits.trusted_proxies.clone();
    let app = App::start(config, clock, lifecycle)?;
    let probe = Probe::new(&app)?;
    lifecycle.spawn_background("probe", watch_messages_flow(app.clone(), probe));
    let server =
        http::server::Server { router: router::router(app), proxies, lifecycle: lifecycle.clone() };
    lifecycle.spawn_background("http server", server.serve(listener));
    tracing::info!(%listen, "serving HTTP");
    Ok(())
}

/// Says that the process is ready once messages have been seen to flow, which is never taken back,
/// and goes on looking.
async fn watch_messages_flow(app: App, mut probe: Probe) -> anyhow::Result<()> {
    let watching = async {
        app.token_verifier.wait_for_first_state().await;
        probe.succeed_once().await;
        app.lifecycle.set_ready();
        tracing::info!("ready");
        probe.probe_forever(app.config.canary_interval).await;
    };
    app.lifecycle.draining().run_until_cancelled(watching).await;
    Ok(())
}
