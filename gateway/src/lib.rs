//! The gateway translates REST and WebSocket into gRPC. It verifies tokens, checks syntax, adds
//! users to answers and fans events out to sockets. It has no database and no business rules.

pub mod api;
mod app;
mod auth;
mod cache;
mod config;
mod error;
mod fanout;
mod http;
mod limits;
mod lock;
mod messaging_client;
mod metrics;
mod probe;
mod router;
mod ws;

use anyhow::Context as _;
use parlance_core::Clock;
use parlance_runtime::Lifecycle;

use crate::app::App;
pub use crate::config::{AllowedOrigins, Config};
pub use crate::limits::{LimitsConfig, TcpConfig, TrustedProxies};
use crate::probe::Probe;

/// The name of this process in logs and metrics.
pub const NAME: &str = "gateway";

/// Starts to serve. The process is ready once it has the access state and the first synthetic probe
/// has succeeded. Before that it serves as well, with 503 where a service is missing.
pub async fn start(config: Config, clock: Clock, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let listen = config.listen;
    let listener = http::server::listen(listen)
        .with_context(|| format!("cannot listen on {listen} (LISTEN)"))?;
    let app = app::start(config, clock, lifecycle)?;
    let probe = Probe::new(&app)?;
    lifecycle.spawn_background("probe", run_probe(app.clone(), probe));
    let server = http::server::Server::new(app.clone(), router::router(app));
    lifecycle.spawn_background("http server", server.serve(listener));
    tracing::info!(%listen, "serving HTTP");
    Ok(())
}

/// Marks the process as ready when the first probe succeeds, then probes until it drains. A later
/// failure does not revoke readiness.
async fn run_probe(app: App, mut probe: Probe) -> anyhow::Result<()> {
    let probing = async {
        app.token_verifier.wait_for_first_state().await;
        probe.succeed_once().await;
        app.lifecycle.set_ready();
        tracing::info!("ready");
        probe.probe_forever(app.config.probe_interval).await;
    };
    app.lifecycle.draining().run_until_cancelled(probing).await;
    Ok(())
}
