//! Upgrades an HTTP request to a socket.

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use parlance_core::ErrorCode;
use tokio::net::TcpStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::extract::bearer_token;
use crate::app::App;
use crate::error::ApiError;
use crate::http::transport::Transport;
use crate::limits::{ClientAddress, SocketPermit, TcpPermit};
use crate::ws::handshake::{self, Handshake};
use crate::ws::origin::is_allowed;
use crate::ws::upgrade_request;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(upgrade))
}

/// Opens the socket for live messages (RFC 6455).
///
/// The token comes in the first frame or in `Authorization`. The frames are described in the
/// documentation of the project.
#[utoipa::path(
    get,
    path = "/v1/messages/ws",
    tag = "messages",
    responses(
        (status = 101, description = "The socket is open."),
        (status = 400, description = "`bad_request`: the key is not 16 bytes in base64."),
        (status = 401, description = "The token in `Authorization` is not accepted."),
        (status = 403, description = "`origin_not_allowed`: a page of another origin asks."),
        (status = 426, description = "`upgrade_required`: the request is no upgrade to WebSocket."),
        (status = 429, description = "`rate_limited`: this address or this user has too \
            many sockets."),
    )
)]
async fn upgrade(
    State(app): State<App>,
    Extension(address): Extension<ClientAddress>,
    mut request: Request,
) -> Result<Response, ApiError> {
    let headers = request.headers();
    if !is_allowed(headers, &app.config.cors_allowed_origins) {
        return Err(ErrorCode::OriginNotAllowed.into());
    }
    app.token_verifier.require_current()?;
    let place = app.limits.open_socket(address)?;
    let handshake = match bearer_token(headers)? {
        Some(token) => {
            let (identity, place) = handshake::connect(&app, token).await?;
            Handshake::Authenticated(identity, place)
        }
        None => Handshake::Anonymous(app.limits.open_unauthenticated_socket(address)?),
    };
    let response = upgrade_request::accept(&request)?;
    let upgrade = request.extensions_mut().remove().ok_or(ErrorCode::UpgradeRequired)?;
    app.lifecycle.clone().spawn(serve(app, upgrade, handshake, place));
    Ok(response)
}

/// Waits until the answer is sent, and serves the socket until it is closed.
async fn serve(app: App, upgrade: OnUpgrade, handshake: Handshake, _place: SocketPermit) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(error = %error, "connection lost before its upgrade to a WebSocket");
            return;
        }
    };
    match into_stream(upgraded) {
        Some((stream, _tcp_permit, read_ahead)) => {
            Box::pin(handshake::serve(app, stream, read_ahead, handshake)).await
        }
        None => tracing::error!("upgraded connection is no TCP stream; dropping it"),
    }
}

/// Returns the TCP stream, its permit and the bytes that were read behind the request.
fn into_stream(upgraded: Upgraded) -> Option<(TcpStream, TcpPermit, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<Transport>>().ok()?;
    let (stream, permit) = parts.io.into_inner().into_connection()?;
    Some((stream, permit, parts.read_buf))
}
