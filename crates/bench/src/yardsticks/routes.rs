//! A bare HTTP server: the same library as the gateway's, with routes that answer what they were told to, and nothing else.

use std::collections::HashMap;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::serve::ListenerExt;

use super::child::Parent;

/// The subcommand that runs it.
pub(crate) const COMMAND: &str = "routes-yardstick";

/// Serves until the process that started this one wants it to end. It is told the routes' bodies, by path, as JSON.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let parent = Parent::new()?;
    let bodies: HashMap<String, String> = serde_json::from_str(&parent.line)?;
    let listener = parent.listener().await?.tap_io(|stream| {
        // Without it everything works, and is slower.
        let _ = stream.set_nodelay(true);
    });
    let mut router = Router::new();
    for (path, body) in bodies {
        let body = Bytes::from(body);
        router = router.route(&path, get(async move || ([(CONTENT_TYPE, "application/json")], body)));
    }
    tokio::select! {
        served = axum::serve(listener, router) => Ok(served?),
        () = parent.end() => Ok(()),
    }
}
