//! Endpoints without a token: liveness, and the keys that verify tokens.

use axum::Json;
use axum::extract::State;
use parlance_core::ErrorCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::keys::Jwk;
use crate::error::ApiError;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(jwks))
}

/// The gateway is alive.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// A JWK set (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JwkSet {
    /// Every key that may have signed a valid token, or that will sign soon.
    keys: Vec<Jwk>,
}

/// Answers while the gateway is alive, whatever the state of the services.
#[utoipa::path(
    get, path = "/v1/healthz", tag = "service", security(()),
    responses((status = 200, description = "The gateway is alive", body = Health)),
)]
async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Returns the public keys of the tokens.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "service", security(()),
    responses((status = 200, description = "The keys", body = JwkSet)),
)]
async fn jwks(State(app): State<App>) -> Result<Json<JwkSet>, ApiError> {
    let keys = app.token_verifier.jwks().ok_or(ErrorCode::Unavailable)?;
    Ok(Json(JwkSet { keys }))
}
