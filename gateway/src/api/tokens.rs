//! The tokens that an answer holds.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use parlance_proto::auth;
use serde::Serialize;
use utoipa::ToSchema;

/// The tokens of a session. `access_token` is for the header `Authorization: Bearer
/// <access_token>`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    /// A signed JSON Web Token.
    access_token: String,
    /// Always `bearer`.
    token_type: &'static str,
    /// The seconds until the access token expires.
    expires_in: i64,
    /// The session.
    #[schema(minimum = 1)]
    session_id: i64,
    /// Gives new tokens, once. Only after a log-in with `refresh`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    refresh_token: Option<String>,
    /// The seconds until the refresh token expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false)]
    refresh_expires_in: Option<i64>,
}

impl From<auth::Tokens> for Tokens {
    fn from(tokens: auth::Tokens) -> Self {
        let refresh = tokens.refresh_token.map(|refresh| (refresh.token, refresh.expires_in_s));
        let (refresh_token, refresh_expires_in) = refresh.unzip();
        Self {
            access_token: tokens.access_token,
            token_type: "bearer",
            expires_in: tokens.expires_in_s,
            session_id: tokens.session_id,
            refresh_token,
            refresh_expires_in,
        }
    }
}

/// An answer with a secret, which no cache may keep.
pub(super) struct NotStored<T>(pub(super) T);

impl<T: Serialize> IntoResponse for NotStored<T> {
    fn into_response(self) -> Response {
        ([(CACHE_CONTROL, "no-store")], Json(self.0)).into_response()
    }
}
