//! The sessions of the caller.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use parlance_core::{SessionId, Timestamp};
use parlance_proto::auth::{
    self, EndOtherSessionsRequest, EndSessionRequest, ListSessionsRequest, LogOutRequest,
    RefreshRequest,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::client::Client;
use crate::api::extract::{Caller, Valid};
use crate::api::request_body::request_body;
use crate::api::response::required;
use crate::api::tokens::{NotStored, Tokens};
use crate::app::App;
use crate::error::ApiError;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(refresh))
        .routes(routes!(log_out))
        .routes(routes!(list, end_others))
        .routes(routes!(end))
}

request_body! {
    /// A refresh token.
    struct RefreshTokenBody {
        /// The `refresh_token` of the last log-in or refresh.
        refresh_token: String = text(),
    }
}

/// The live sessions of the caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sessions {
    /// At most 100, the newest first.
    sessions: Vec<Session>,
}

/// A log-in that has not ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    /// The session's id.
    #[schema(minimum = 1)]
    id: i64,
    /// When the user logged in.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The last log-in or refresh.
    #[schema(value_type = String, format = DateTime)]
    last_used_at: Timestamp,
    /// When the session ends if nothing more happens.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// The header `User-Agent` of the log-in, at most 512 characters; null if none was sent.
    #[schema(required)]
    user_agent: Option<String>,
    /// The IP address of the log-in; null if it is unknown.
    #[schema(required)]
    address: Option<String>,
    /// True for the session of this request.
    is_current: bool,
}

impl Session {
    fn new(session: auth::Session, current: Option<SessionId>) -> Self {
        let [created_at, last_used_at, expires_at] =
            [session.created_at_us, session.last_used_at_us, session.expires_at_us]
                .map(Timestamp::from_micros);
        Self {
            id: session.id,
            created_at,
            last_used_at,
            expires_at,
            user_agent: session.user_agent,
            address: session.address,
            is_current: current == Some(SessionId::new(session.id)),
        }
    }
}

/// Exchanges a refresh token for new tokens of the same session.
///
/// A used token gives new tokens again for 30 seconds from its first use. After that it ends the
/// session if one of its successors has been used.
#[utoipa::path(
    post, path = "/v1/auth/refresh", tag = "auth", security(()),
    request_body = RefreshTokenBody,
    responses(
        (status = 200, description = "New tokens", body = Tokens),
        (status = 401, description = "`session_revoked`: this is no live refresh token"),
    ),
)]
async fn refresh(
    State(app): State<App>,
    client: Client,
    Valid(RefreshTokenBody { refresh_token }): Valid<RefreshTokenBody>,
) -> Result<NotStored<Tokens>, ApiError> {
    let request = RefreshRequest { refresh_token, client: Some(client.info()) };
    let answer = app.auth.clone().refresh(request).await?.into_inner();
    Ok(NotStored(required(answer.tokens)?.into()))
}

/// Ends the session of the caller.
///
/// A token without a session ends alone.
#[utoipa::path(
    post, path = "/v1/auth/logout", tag = "auth", security(("bearer" = [])),
    responses((status = 204, description = "The session has ended")),
)]
async fn log_out(caller: Caller, client: Client) -> Result<StatusCode, ApiError> {
    let request =
        LogOutRequest { caller: Some((&*caller.identity).into()), client: Some(client.info()) };
    caller.app.auth.clone().log_out(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the live sessions of the caller.
#[utoipa::path(
    get, path = "/v1/auth/sessions", tag = "auth", security(("bearer" = [])),
    responses((status = 200, description = "The sessions", body = Sessions)),
)]
async fn list(caller: Caller) -> Result<Json<Sessions>, ApiError> {
    let request = ListSessionsRequest { user_id: caller.id() };
    let answer = caller.app.auth.clone().list_sessions(request).await?.into_inner();
    let current = caller.identity.token.session_id;
    let sessions = answer.sessions.into_iter().map(|session| Session::new(session, current));
    Ok(Json(Sessions { sessions: sessions.collect() }))
}

/// Ends a session of the caller.
#[utoipa::path(
    delete, path = "/v1/auth/sessions/{id}", tag = "auth", security(("bearer" = [])),
    params(("id" = i64, Path, minimum = 1)),
    responses(
        (status = 204, description = "The session has ended"),
        (status = 404, description = "`session_not_found`"),
    ),
)]
async fn end(
    caller: Caller,
    client: Client,
    Valid(session_id): Valid<SessionId>,
) -> Result<StatusCode, ApiError> {
    let request = EndSessionRequest {
        user_id: caller.id(),
        session_id: session_id.get(),
        client: Some(client.info()),
    };
    caller.app.auth.clone().end_session(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of the caller but this one.
///
/// Called with a token without a session, it ends all, and that token, too.
#[utoipa::path(
    delete, path = "/v1/auth/sessions", tag = "auth", security(("bearer" = [])),
    responses((status = 204, description = "The other sessions have ended")),
)]
async fn end_others(caller: Caller, client: Client) -> Result<StatusCode, ApiError> {
    let request = EndOtherSessionsRequest {
        caller: Some((&*caller.identity).into()),
        client: Some(client.info()),
    };
    caller.app.auth.clone().end_other_sessions(request).await?;
    Ok(StatusCode::NO_CONTENT)
}
