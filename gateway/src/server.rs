//! Accepting connections and speaking HTTP/1.1 on them until the process drains.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parlance_runtime::Lifecycle;
use tokio::net::{TcpListener, TcpStream};

/// How long the head of a request may take to arrive, and how long a connection may be idle.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 64 << 10;
/// The pause after an accept that failed, mostly for want of file descriptors.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Accepts connections until the process drains.
pub(crate) async fn serve(listener: TcpListener, router: Router, lifecycle: Lifecycle) -> anyhow::Result<()> {
    loop {
        let accepted = lifecycle.draining().run_until_cancelled(listener.accept()).await;
        match accepted {
            None => return Ok(()),
            Some(Ok((stream, _))) => {
                lifecycle.spawn(serve_connection(stream, router.clone(), lifecycle.clone()))
            }
            Some(Err(error)) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// Serves one connection to its end. When the process drains, the request that has begun is the last one.
async fn serve_connection(stream: TcpStream, router: Router, lifecycle: Lifecycle) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "a connection was lost at once");
        return;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let mut connection = pin!(connection);

    let result = match lifecycle.draining().run_until_cancelled(connection.as_mut()).await {
        Some(result) => result,
        None => {
            connection.as_mut().graceful_shutdown();
            lifecycle.stopped().run_until_cancelled(connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = %error, "a connection ended with an error");
    }
}
