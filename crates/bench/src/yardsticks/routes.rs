//! A bare HTTP server: the same library as the gateway's, with routes that answer what they were
//! told to, and nothing else.

use std::collections::HashMap;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::serve::ListenerExt;

use super::child::Parent;

/// The subcommand that runs it.
pub(crate) const COMMAND: &str = "routes-yardstick";

/// Serves until the process that started this one wants it to end. It is told the routes' bodies,
/// by path, as JSON.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let parent = Parent::new()?;
    let bodies: HashMap<String, String> = serde_json::from_str(&parent.line)?;
    let listener = parent.listener().await?.tap_io(|stream| {
        // Without it everything works, and is slower.
        let _ = stream.set_nodelay(true);
    });
    tokio::select! {
        served = axum::serve(listener, router(bodies)) => Ok(served?),
        () = parent.end() => Ok(()),
    }
}

/// The server without a port.
pub(crate) fn router(bodies: HashMap<String, String>) -> Router {
    let add = |router: Router, (path, body): (String, String)| {
        let body = Bytes::from(body);
        router.route(&path, get(async move || ([(CONTENT_TYPE, "application/json")], body)))
    };
    bodies.into_iter().fold(Router::new(), add)
}
