//! The way from an HTTP request to a socket.

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{State, WebSocketUpgrade};
use axum::response::Response;
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};
use parlance_core::ErrorCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::entrance::{self, Entrance};
use crate::app::App;
use crate::config::AllowedOrigins;
use crate::error::ApiError;
use crate::extract::bearer_token;
use crate::limits::ClientAddress;

/// The largest message that is read at all, so that the close for a frame over 64 KiB arrives.
const MAX_MESSAGE: usize = 2 << 20;
/// Buffers of the socket itself, allocated for every connection.
const READ_BUFFER: usize = 4 << 10;
const WRITE_BUFFER: usize = 8 << 10;
/// The most that the socket itself holds back from a client that does not read, such as the answers to its pings; it has to have
/// space for the longest frame besides the buffer.
const MAX_WRITE_BUFFER: usize = WRITE_BUFFER + (128 << 10);

/// The route of the socket.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(upgrade))
}

/// Opens the socket for live messages (RFC 6455).
///
/// The token comes in the first frame or in `Authorization`. The frames are described in the documentation of the project.
#[utoipa::path(
    get,
    path = "/v1/messages/ws",
    tag = "messages",
    responses(
        (status = 101, description = "The socket is open."),
        (status = 401, description = "The token in `Authorization` is not accepted."),
        (status = 403, description = "`origin_not_allowed`: a page of another origin asks."),
        (status = 426, description = "`upgrade_required`: the request is no upgrade to WebSocket."),
        (status = 429, description = "`rate_limited`: this address or this user has too many sockets."),
    )
)]
async fn upgrade(
    State(app): State<App>,
    Extension(address): Extension<ClientAddress>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    if !is_allowed(&headers, &app.config.cors_allowed_origins) {
        return Err(ErrorCode::OriginNotAllowed.into());
    }
    let place = app.limits.open_socket(address)?;
    let entrance = match bearer_token(&headers)? {
        Some(token) => {
            let session = app.access.authenticate(token).await?;
            let place = app.limits.connect(session.user_id)?;
            Entrance::Authenticated(session, place)
        }
        None => Entrance::Anonymous(app.limits.await_introduction(address)?),
    };
    let upgrade = upgrade.map_err(|_| ErrorCode::UpgradeRequired)?;

    let upgrade = upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER);
    Ok(upgrade.on_upgrade(async move |socket| {
        let lifecycle = app.lifecycle.clone();
        lifecycle.spawn(async move {
            entrance::serve(app, socket, entrance).await;
            drop(place);
        });
    }))
}

/// Pages of the gateway's own origin and of the configured ones may connect, and whatever is no page.
fn is_allowed(headers: &HeaderMap, allowed: &AllowedOrigins) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    allowed.contains(origin) || is_own(origin, headers)
}

fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let own = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin: Option<Uri> = origin.parse().ok();
    let authority = origin.as_ref().and_then(|origin| origin.authority());
    matches!((authority, own), (Some(authority), Some(own)) if authority.as_str().eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn allowed(origin: &'static str) -> bool {
        let headers = HeaderMap::from_iter([
            (HOST, HeaderValue::from_static("chat.example:8000")),
            (ORIGIN, HeaderValue::from_static(origin)),
        ]);
        is_allowed(&headers, &"http://localhost:3000".parse().unwrap())
    }

    #[test]
    fn only_pages_of_known_origins_may_connect() {
        assert!(allowed("http://localhost:3000"));
        assert!(allowed("https://chat.example:8000"));
        assert!(is_allowed(&HeaderMap::new(), &AllowedOrigins::default()));
        for origin in ["https://evil.example", "null", "http://localhost:3001", "https://chat.example"] {
            assert!(!allowed(origin), "{origin}");
        }
    }
}
