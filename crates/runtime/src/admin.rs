//! The admin port: liveness, readiness and metrics. It depends on nothing outside the process.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::Lifecycle;
use crate::telemetry::Metrics;

/// Serves `/livez` (the process runs), `/readyz` (the process can serve: 200, else 503) and
/// `/metrics` (Prometheus text format) until the process stops.
pub async fn start(
    listen: SocketAddr,
    metrics: Metrics,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} (ADMIN_LISTEN)"))?;
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness).with_state(lifecycle.clone()))
        .route("/metrics", get(render_metrics).with_state(metrics));

    // Served while the process drains, so that probes see that it is not ready.
    lifecycle.spawn_task("admin server", async move { Ok(axum::serve(listener, router).await?) });
    Ok(())
}

async fn readiness(State(lifecycle): State<Lifecycle>) -> impl IntoResponse {
    if lifecycle.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn render_metrics(State(metrics): State<Metrics>) -> impl IntoResponse {
    match metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "could not render the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
