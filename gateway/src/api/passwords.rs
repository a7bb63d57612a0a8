//! The password of an account.

use axum::extract::State;
use http::StatusCode;
use parlance_core::{ErrorCode, Password};
use parlance_proto::auth::{ChangePasswordRequest, ResetPasswordRequest};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::client::Client;
use crate::api::extract::{Caller, Valid};
use crate::api::password_call::{call_with_password, common_password, missing};
use crate::api::request_body::request_body;
use crate::app::App;
use crate::error::ApiError;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(change)).routes(routes!(reset))
}

request_body! {
    /// The password until now and the new one.
    struct PasswordChange {
        /// The new password: at least 8 characters and at most 72 bytes of UTF-8.
        #[schema(value_type = String, format = Password)]
        new_password: Password = parsed(Password::parse),
        /// The password until now. Absent only for an account that has none yet.
        #[schema(value_type = String, format = Password, required = false)]
        current_password: Option<String> = optional(Ok),
    }
}

request_body! {
    /// A code from the operator and the new password.
    struct PasswordReset {
        /// The code.
        code: String = text(),
        /// The new password: at least 8 characters and at most 72 bytes of UTF-8.
        #[schema(value_type = String, format = Password)]
        new_password: Password = parsed(Password::parse),
    }
}

/// Replaces the password of the caller and ends all other sessions.
#[utoipa::path(
    put, path = "/v1/auth/password", tag = "auth", security(("bearer" = [])),
    request_body = PasswordChange,
    responses(
        (status = 204, description = "The password has changed"),
        (status = 400, description = "`wrong_password`"),
        (status = 403, description = "`log_in_again`: the account has no password yet, and the \
            log-in is too long ago to set the first one"),
        (status = 429, description = "`rate_limited`: too many attempts from this address, or too \
            many failed ones for this account"),
    ),
)]
async fn change(
    caller: Caller,
    client: Client,
    Valid(body): Valid<PasswordChange>,
) -> Result<StatusCode, ApiError> {
    let address = client.address();
    let has_current = body.current_password.is_some();
    let wrong_field = move |code| match code {
        ErrorCode::WrongPassword if !has_current => Some(missing("current_password")),
        code => common_password("new_password")(code),
    };
    let request = ChangePasswordRequest {
        caller: Some((&*caller.identity).into()),
        current_password: body.current_password,
        new_password: body.new_password.expose().to_owned(),
        client: Some(client.info()),
    };
    let mut auth = caller.app.passwords.clone();
    let call = auth.change_password(request);
    call_with_password(&caller.app, address, wrong_field, call).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replaces the password by a code from the operator and ends all sessions.
#[utoipa::path(
    post, path = "/v1/auth/password/reset", tag = "auth", security(()),
    request_body = PasswordReset,
    responses(
        (status = 204, description = "The password has changed"),
        (status = 400, description = "`reset_code_invalid`"),
        (status = 429, description = "`rate_limited`: too many attempts from this address"),
    ),
)]
async fn reset(
    State(app): State<App>,
    client: Client,
    Valid(PasswordReset { code, new_password }): Valid<PasswordReset>,
) -> Result<StatusCode, ApiError> {
    let address = client.address();
    let new_password = new_password.expose().to_owned();
    let request = ResetPasswordRequest { code, new_password, client: Some(client.info()) };
    let mut auth = app.passwords.clone();
    let call = auth.reset_password(request);
    call_with_password(&app, address, common_password("new_password"), call).await?;
    Ok(StatusCode::NO_CONTENT)
}
