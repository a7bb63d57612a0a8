//! The admin port: liveness, readiness and metrics. It depends on nothing outside of the process.

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

/// Serves `/livez` (the process runs), `/readyz` (it can serve: 200, else 503) and `/metrics`
/// (Prometheus text format) until the process stops.
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
        .route("/metrics", get(exposition).with_state(metrics));

    // That the process is not ready must be visible for as long as it drains.
    lifecycle.spawn_task("admin", async move { Ok(axum::serve(listener, router).await?) });
    Ok(())
}

async fn readiness(State(lifecycle): State<Lifecycle>) -> impl IntoResponse {
    if lifecycle.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn exposition(State(metrics): State<Metrics>) -> impl IntoResponse {
    match metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the metrics could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
