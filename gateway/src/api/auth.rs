//! Accounts and tokens.

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use parlance_core::{Password, Username};
use parlance_proto::auth::{LogInRequest, RegisterRequest};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::dto::User;
use crate::api::extract::{Caller, JsonInput};
use crate::api::{Encoded, present};
use crate::app::App;
use crate::error::{ApiError, ErrorBody};
use crate::http::middleware::within;
use crate::limits::ClientAddress;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(register)).routes(routes!(log_in)).routes(routes!(me))
}

/// A name and a password.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the body; its fields are read one by one, so that all that is wrong is told"
)]
struct Credentials {
    /// At registration 3 to 50 letters and digits of one script; afterwards in any case.
    username: String,
    /// At registration at least 8 characters and at most 72 bytes of UTF-8. Used exactly as sent.
    #[schema(format = Password)]
    password: String,
}

/// A token, to be sent as `Authorization: Bearer <access_token>`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Token {
    /// A signed JSON Web Token.
    access_token: String,
    /// Always `bearer`.
    token_type: &'static str,
    /// The life of the token in seconds.
    expires_in: i64,
}

/// Makes an account.
#[utoipa::path(
    post, path = "/v1/auth/register", tag = "auth", security(()),
    request_body = Credentials,
    responses(
        (status = 201, description = "The account was made", body = User),
        (status = 400, description = "`username_taken`", body = ErrorBody),
        (status = 429, description = "`rate_limited`: too many registrations and log-ins from this address", body = ErrorBody),
    ),
)]
async fn register(
    State(app): State<App>,
    Extension(address): Extension<ClientAddress>,
    JsonInput(mut input): JsonInput,
) -> Result<(StatusCode, Encoded), ApiError> {
    let username = input.parsed("username", Username::parse);
    let password = input.parsed("password", Password::parse);
    let (Ok(username), Ok(password)) = (username, password) else { return Err(input.refusal()) };
    app.limits.take_log_in(address)?;

    let request = RegisterRequest {
        username: username.as_str().to_owned(),
        password: password.expose().to_owned(),
    };
    let answer =
        within(app.config.password_deadline, app.passwords.clone().register(request)).await?;
    let user = present(answer.into_inner().user)?;
    Ok((StatusCode::CREATED, Encoded::of(&User::from(user))?))
}

/// Checks name and password and issues a token.
#[utoipa::path(
    post, path = "/v1/auth/login", tag = "auth", security(()),
    request_body = Credentials,
    responses(
        (status = 200, description = "Here is a token", body = Token),
        (status = 401, description = "`invalid_credentials`", body = ErrorBody),
        (status = 429, description = "`rate_limited`: too many registrations and log-ins from this address", body = ErrorBody),
    ),
)]
async fn log_in(
    State(app): State<App>,
    Extension(address): Extension<ClientAddress>,
    JsonInput(mut input): JsonInput,
) -> Result<Json<Token>, ApiError> {
    let (username, password) = (input.text("username"), input.text("password"));
    let (Ok(username), Ok(password)) = (username, password) else { return Err(input.refusal()) };
    app.limits.take_log_in(address)?;

    let request = LogInRequest { username, password };
    let answer = within(app.config.password_deadline, app.passwords.clone().log_in(request))
        .await?
        .into_inner();
    Ok(Json(Token {
        access_token: answer.access_token,
        token_type: "bearer",
        expires_in: answer.expires_in_s,
    }))
}

/// The caller's own account.
#[utoipa::path(
    get, path = "/v1/auth/me", tag = "auth", security(("bearer" = [])),
    responses((status = 200, description = "The account", body = User)),
)]
async fn me(State(app): State<App>, Caller(session): Caller) -> Result<Encoded, ApiError> {
    let user = app.users.of_token(session.user_id).await?;
    Encoded::of(&*user)
}
