//! Issues access tokens: JSON Web Tokens (RFC 7519) signed with Ed25519. The gateway verifies them.

use jsonwebtoken::{Algorithm, Header};
use parlance_core::{Timestamp, UserId};
use serde::Serialize;
use uuid::Uuid;

use crate::config::TokenConfig;
use crate::error::Error;
use crate::keys::SigningKey;
use crate::model::AccessToken;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    /// A string, as RFC 7519 demands.
    sub: String,
    username: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
}

/// Issues a token that is valid from now on, for `ACCESS_TOKEN_TTL`.
pub(crate) fn issue(
    config: &TokenConfig,
    key: &SigningKey,
    user_id: UserId,
    username: &str,
    now: Timestamp,
) -> Result<AccessToken, Error> {
    let expires_in_s = i64::try_from(config.ttl.access_token_ttl.as_secs()).unwrap_or(i64::MAX);
    let claims = Claims {
        iss: &config.token_issuer,
        aud: &config.token_audience,
        sub: user_id.to_string(),
        username,
        iat: now.as_seconds(),
        exp: now.as_seconds().saturating_add(expires_in_s),
        jti: Uuid::new_v4().to_string(),
    };
    let header = Header { kid: Some(key.kid.clone()), ..Header::new(Algorithm::EdDSA) };
    let token = jsonwebtoken::encode(&header, &claims, &key.private).map_err(Error::Sign)?;
    Ok(AccessToken { token, expires_in_s })
}
