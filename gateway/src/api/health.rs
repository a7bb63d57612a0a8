//! What anybody may ask: whether the gateway is alive, and the keys that verify tokens.

use axum::Json;
use axum::extract::State;
use parlance_core::ErrorCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::verifier::Jwk;
use crate::error::ApiError;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(jwks))
}

/// That the gateway is alive.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// A set of keys (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JwkSet {
    /// Every key that may have signed a valid token, or will sign soon.
    keys: Vec<Jwk>,
}

/// Whether the gateway is alive. It says nothing of the services behind.
#[utoipa::path(
    get, path = "/v1/healthz", tag = "service", security(()),
    responses((status = 200, description = "It is", body = Health)),
)]
async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The public keys of the tokens.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "service", security(()),
    responses((status = 200, description = "The keys", body = JwkSet)),
)]
async fn jwks(State(app): State<App>) -> Result<Json<JwkSet>, ApiError> {
    let keys = app.token_verifier.jwks().ok_or(ErrorCode::Unavailable)?;
    Ok(Json(JwkSet { keys }))
}
