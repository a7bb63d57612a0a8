//! Accounts and tokens.

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use parlance_core::{Password, Username};
use parlance_proto::auth::{ClientInfo, LogInRequest, RegisterRequest};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::dto::User;
use crate::api::extract::{Caller, Valid};
use crate::api::request_body::request_body;
use crate::api::response::{Encoded, required};
use crate::app::App;
use crate::error::ApiError;
use crate::http::deadline::with_call_deadline;
use crate::limits::ClientAddress;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(register)).routes(routes!(log_in)).routes(routes!(me))
}

request_body! {
    /// The name and the password of a new account.
    struct Registration {
        /// 3 to 50 visible letters and digits of one script.
        #[schema(value_type = String)]
        username: Username = parsed(Username::parse),
        /// At least 8 characters and at most 72 bytes of UTF-8. Used exactly as sent.
        #[schema(value_type = String, format = Password)]
        password: Password = parsed(Password::parse),
    }
}

request_body! {
    /// The name and the password of an account.
    struct Credentials {
        /// The name, in any case.
        username: String = text(),
        /// The password, exactly as at registration.
        #[schema(format = Password)]
        password: String = text(),
    }
}

/// A token for the header `Authorization: Bearer <access_token>`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Token {
    /// A signed JSON Web Token.
    access_token: String,
    /// Always `bearer`.
    token_type: &'static str,
    /// The seconds until the token expires.
    expires_in: i64,
}

/// Makes an account.
#[utoipa::path(
    post, path = "/v1/auth/register", tag = "auth", security(()),
    request_body = Registration,
    responses(
        (status = 201, description = "The account was made", body = User),
        (status = 400, description = "`username_taken`"),
        (status = 429, description = "`rate_limited`: too many attempts from this address"),
    ),
)]
async fn register(
    State(app): State<App>,
    Extension(address): Extension<ClientAddress>,
    Valid(body): Valid<Registration>,
) -> Result<(StatusCode, Encoded), ApiError> {
    app.limits.take_log_in(address)?;
    let request = RegisterRequest {
        username: body.username.as_str().to_owned(),
        password: body.password.expose().to_owned(),
        client: Some(ClientInfo { address: address.0.to_string(), ..ClientInfo::default() }),
    };
    let mut auth = app.passwords.clone();
    let call = auth.register(request);
    let answer = with_call_deadline(app.config.password_deadline, call).await?;
    let user = required(answer.into_inner().user)?;
    Ok((StatusCode::CREATED, Encoded::new(&User::from(user))?))
}

/// Checks the name and the password and issues a token.
#[utoipa::path(
    post, path = "/v1/auth/login", tag = "auth", security(()),
    request_body = Credentials,
    responses(
        (status = 200, description = "A token", body = Token),
        (status = 401, description = "`invalid_credentials`"),
        (status = 429, description = "`rate_limited`: too many attempts from this address"),
    ),
)]
async fn log_in(
    State(app): State<App>,
    Extension(address): Extension<ClientAddress>,
    Valid(Credentials { username, password }): Valid<Credentials>,
) -> Result<Json<Token>, ApiError> {
    app.limits.take_log_in(address)?;
    let mut auth = app.passwords.clone();
    let client = Some(ClientInfo { address: address.0.to_string(), ..ClientInfo::default() });
    let call = auth.log_in(LogInRequest { username, password, client, refresh: false });
    let answer = with_call_deadline(app.config.password_deadline, call).await?.into_inner();
    let tokens = required(answer.tokens)?;
    Ok(Json(Token {
        access_token: tokens.access_token,
        token_type: "bearer",
        expires_in: tokens.expires_in_s,
    }))
}

/// Returns the caller's account.
#[utoipa::path(
    get, path = "/v1/auth/me", tag = "auth", security(("bearer" = [])),
    responses((status = 200, description = "The account", body = User)),
)]
async fn me(caller: Caller) -> Result<Encoded, ApiError> {
    let user = caller.app.users.for_token(caller.identity.user_id).await?;
    Encoded::new(&*user)
}
