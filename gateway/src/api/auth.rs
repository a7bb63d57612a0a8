//! Accounts and tokens.

use axum::extract::State;
use http::StatusCode;
use parlance_core::{Password, Username};
use parlance_proto::auth::{LogInRequest, RegisterRequest};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::client::Client;
use crate::api::dto::User;
use crate::api::extract::{Caller, Valid};
use crate::api::password_call::{call_with_password, common_password};
use crate::api::request_body::request_body;
use crate::api::response::{Encoded, required};
use crate::api::tokens::{NotStored, Tokens};
use crate::app::App;
use crate::error::ApiError;

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
        /// True if the client will refresh its tokens: the access token is then short-lived.
        #[schema(value_type = bool, required = false)]
        refresh: Option<bool> = optional_boolean(),
    }
}

/// Makes an account.
#[utoipa::path(
    post, path = "/v1/auth/register", tag = "auth", security(()),
    request_body = Registration,
    responses(
        (status = 201, description = "The account was made", body = User),
        (status = 400, description = "`username_taken`"),
        (status = 403, description = "`registration_closed`"),
        (status = 429, description = "`rate_limited`: too many attempts from this address"),
    ),
)]
async fn register(
    State(app): State<App>,
    client: Client,
    Valid(body): Valid<Registration>,
) -> Result<(StatusCode, Encoded), ApiError> {
    let address = client.address();
    let request = RegisterRequest {
        username: body.username.as_str().to_owned(),
        password: body.password.expose().to_owned(),
        client: Some(client.info()),
    };
    let mut auth = app.passwords.clone();
    let call = auth.register(request);
    let answer = call_with_password(&app, address, common_password("password"), call).await?;
    let user = required(answer.user)?;
    Ok((StatusCode::CREATED, Encoded::new(&User::from(user))?))
}

/// Checks the name and the password and begins a session.
#[utoipa::path(
    post, path = "/v1/auth/login", tag = "auth", security(()),
    request_body = Credentials,
    responses(
        (status = 200, description = "The tokens of a new session", body = Tokens),
        (status = 401, description = "`invalid_credentials`"),
        (status = 429, description = "`rate_limited`: too many attempts from this address, or too \
            many failed ones for this account"),
    ),
)]
async fn log_in(
    State(app): State<App>,
    client: Client,
    Valid(Credentials { username, password, refresh }): Valid<Credentials>,
) -> Result<NotStored<Tokens>, ApiError> {
    let address = client.address();
    let mut auth = app.passwords.clone();
    let (client, refresh) = (Some(client.info()), refresh.unwrap_or(false));
    let call = auth.log_in(LogInRequest { username, password, client, refresh });
    let answer = call_with_password(&app, address, common_password("password"), call).await?;
    Ok(NotStored(required(answer.tokens)?.into()))
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
