//! A bare HTTP server with the gateway's library, whose routes return fixed bodies.

use std::collections::HashMap;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::serve::ListenerExt;

use super::process::Parent;

/// The subcommand that runs it.
pub(crate) const COMMAND: &str = "routes-baseline";

/// Serves until the parent process ends it. The parent's line is a JSON object: the body of each
/// path.
pub async fn serve() -> anyhow::Result<()> {
    let parent = Parent::new()?;
    let bodies: HashMap<String, String> = serde_json::from_str(&parent.line)?;
    let listener = parent.listener().await?.tap_io(|stream| {
        // A failure costs speed only.
        let _ = stream.set_nodelay(true);
    });
    tokio::select! {
        served = axum::serve(listener, router(bodies)) => Ok(served?),
        () = parent.end() => Ok(()),
    }
}

/// Returns the router without a listener.
pub fn router(bodies: HashMap<String, String>) -> Router {
    let add = |router: Router, (path, body): (String, String)| {
        let body = Bytes::from(body);
        router.route(&path, get(async move || ([(CONTENT_TYPE, "application/json")], body)))
    };
    bodies.into_iter().fold(Router::new(), add)
}
