//! Issues access tokens: JSON Web Tokens (RFC 7519) signed with Ed25519. The gateway verifies them.

use std::time::Duration;

use jsonwebtoken::{Algorithm, Header};
use parlance_core::{SessionId, Timestamp, UserId};
use serde::Serialize;
use uuid::Uuid;

use crate::access::Access;
use crate::config::TokenConfig;
use crate::error::Error;

/// The header `typ` of tokens that have a session (RFC 9068, of which this is all that applies).
const TYPE: &str = "at+jwt";

/// What a token is issued for.
pub(crate) struct Subject<'a> {
    pub(crate) user_id: UserId,
    pub(crate) username: &'a str,
    pub(crate) session_id: SessionId,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    /// A string, as RFC 7519 demands.
    sub: String,
    username: &'a str,
    /// A string like `sub`.
    sid: String,
    iat: i64,
    exp: i64,
    jti: String,
}

/// Returns when a token expires that is issued now: the claim `exp`, in whole seconds.
pub(crate) fn expiry(now: Timestamp, ttl: Duration) -> Timestamp {
    let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_seconds().saturating_add(seconds).saturating_mul(1_000_000))
}

/// Issues a token that is valid from now on, for a whole number of seconds.
pub(crate) fn issue(
    config: &TokenConfig,
    access: &Access,
    subject: &Subject<'_>,
    now: Timestamp,
    ttl: Duration,
) -> Result<String, Error> {
    let key = access.keys.signing_key(now).ok_or(Error::NoSigningKey)?;
    let claims = Claims {
        iss: &config.token_issuer,
        aud: &config.token_audience,
        sub: subject.user_id.to_string(),
        username: subject.username,
        sid: subject.session_id.to_string(),
        iat: now.as_seconds(),
        exp: expiry(now, ttl).as_seconds(),
        jti: Uuid::new_v4().to_string(),
    };
    let header = Header {
        typ: Some(TYPE.to_owned()),
        kid: Some(key.kid.clone()),
        ..Header::new(Algorithm::EdDSA)
    };
    jsonwebtoken::encode(&header, &claims, &key.private).map_err(Error::Sign)
}
