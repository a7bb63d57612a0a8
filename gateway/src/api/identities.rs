//! Identities that the host product brings.

use axum::extract::State;
use parlance_core::Username;
use parlance_proto::auth::ExchangeRequest;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::client::Client;
use crate::api::dto::User;
use crate::api::extract::Valid;
use crate::api::request_body::request_body;
use crate::api::response::required;
use crate::api::tokens::{NotStored, Tokens};
use crate::app::App;
use crate::error::ApiError;
use crate::http::deadline::with_call_deadline;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(exchange))
}

request_body! {
    /// The token of a trusted issuer.
    struct IdentityToken {
        /// A signed JSON Web Token.
        token: String = text(),
        /// The name of a new account: 3 to 50 visible letters and digits of one script. Without it
        /// the name is made from the token. Ignored if the person has an account.
        #[schema(value_type = String, required = false)]
        username: Option<Username> = optional(Username::parse),
        /// True if the client will refresh its tokens: the access token is then short-lived.
        #[schema(value_type = bool, required = false)]
        refresh: Option<bool> = optional_boolean(),
    }
}

/// The tokens of a session and its user.
#[derive(Serialize, ToSchema)]
pub(crate) struct Exchanged {
    #[serde(flatten)]
    tokens: Tokens,
    /// The account of the person.
    user: User,
}

/// Begins a session of the person whom a trusted issuer's token names.
///
/// At the first time, makes the account. It has no password.
#[utoipa::path(
    post, path = "/v1/auth/exchange", tag = "auth", security(()),
    request_body = IdentityToken,
    responses(
        (status = 200, description = "The tokens of a new session, and its user", body = Exchanged),
        (status = 400, description = "`username_taken`"),
        (status = 401, description = "`identity_refused`: anything about the token is wrong, or the \
            account is inactive"),
        (status = 403, description = "`registration_closed`: no account is made for this issuer's \
            persons"),
        (status = 409, description = "`username_needed`: repeat the call with a `username`"),
        (status = 429, description = "`rate_limited`: too many attempts from this address"),
    ),
)]
async fn exchange(
    State(app): State<App>,
    client: Client,
    Valid(IdentityToken { token, username, refresh }): Valid<IdentityToken>,
) -> Result<NotStored<Exchanged>, ApiError> {
    app.limits.take_log_in(client.address())?;
    let request = ExchangeRequest {
        token,
        username: username.map(|username| username.as_str().to_owned()),
        client: Some(client.info()),
        refresh: refresh.unwrap_or(false),
    };
    let mut auth = app.passwords.clone();
    let call = auth.exchange(request);
    let answer = with_call_deadline(app.config.password_deadline, call).await?.into_inner();
    let (tokens, user) = (required(answer.tokens)?.into(), required(answer.user)?.into());
    Ok(NotStored(Exchanged { tokens, user }))
}
