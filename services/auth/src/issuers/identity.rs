//! The check of an issuer's token: a signed JSON Web Token (RFC 7519).

use std::sync::Arc;

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use parlance_core::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::IssuerConfig;
use super::registry::{Issuer, Issuers};

/// How far the clocks of issuers may be off, in seconds.
const SKEW_S: f64 = 60.0;
/// Bytes of a token. Those with many roles have a few thousand.
const MAX_TOKEN: usize = 16 * 1024;
/// Bytes of a subject (OpenID Connect Core 1.0, section 2).
const MAX_SUBJECT: usize = 255;
/// Bytes of the claim that a username is made from.
const MAX_USERNAME_CLAIM: usize = 1024;

/// A person for whom an issuer vouches.
pub(crate) struct Identity {
    pub(crate) issuer: Arc<Issuer>,
    /// Identifies the person among those of the issuer.
    pub(crate) subject: String,
    /// What the name of a new account is made from.
    pub(crate) username: Option<String>,
}

/// Why an identity is not accepted, for the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the token is malformed")]
    Malformed,
    #[error("the issuer is not trusted")]
    UnknownIssuer,
    #[error("the token is signed by an algorithm that is not configured")]
    Algorithm,
    #[error("the token has a critical header that is not understood")]
    CriticalHeader,
    #[error("the token does not name its key")]
    NoKeyId,
    #[error("the issuer has no such key for this algorithm")]
    UnknownKey,
    #[error("too many requests wait for the keys of the issuer")]
    KeysBusy,
    #[error("the signature is wrong")]
    Signature,
    #[error("the token is meant for another audience")]
    Audience,
    #[error("a claim is missing or malformed")]
    Claims,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token was issued in the future")]
    IssuedInFuture,
    #[error("the token does not name its subject")]
    NoSubject,
    #[error("the account is inactive")]
    Inactive,
}

#[derive(Deserialize)]
struct Unverified {
    iss: String,
}

impl Issuers {
    /// Checks a token at this time, and returns whom it names.
    pub(crate) async fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, Refusal> {
        if token.len() > MAX_TOKEN {
            return Err(Refusal::Malformed);
        }
        let unverified: Unverified =
            insecure_decode_claims(token).map_err(|_| Refusal::Malformed)?;
        let issuer = self.get(&unverified.iss).ok_or(Refusal::UnknownIssuer)?;
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Malformed)?;
        let (kid, algorithm) = check_header(&header, &issuer.config)?;
        let key = issuer.keys.find(kid, algorithm).await?;
        let claims = verified_claims(token, &key, algorithm, &issuer.config)?;
        check_times(&claims, now)?;
        let subject = text(&claims, &issuer.config.subject_claim, MAX_SUBJECT);
        Ok(Identity {
            issuer: issuer.clone(),
            subject: subject.ok_or(Refusal::NoSubject)?.to_owned(),
            username: text(&claims, &issuer.config.username_claim, MAX_USERNAME_CLAIM)
                .map(str::to_owned),
        })
    }
}

/// Returns the id of the key and the algorithm. Keys in the header itself are ignored.
fn check_header<'a>(
    header: &'a Header,
    config: &IssuerConfig,
) -> Result<(&'a str, Algorithm), Refusal> {
    if !config.algorithms.contains(&header.alg) {
        return Err(Refusal::Algorithm);
    }
    if header.crit.is_some() {
        return Err(Refusal::CriticalHeader);
    }
    let kid = header.kid.as_deref().ok_or(Refusal::NoKeyId)?;
    Ok((kid, header.alg))
}

/// Returns the claims if signature, issuer and audience are right.
fn verified_claims(
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
    config: &IssuerConfig,
) -> Result<Map<String, Value>, Refusal> {
    let mut validation = Validation::new(algorithm);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.set_issuer(&[&config.issuer]);
    validation.set_audience(&config.audiences);
    // The times are compared below, with the clock of this program.
    validation.validate_exp = false;
    let decoded = jsonwebtoken::decode(token, key, &validation);
    let decoded = decoded.map_err(|error| match error.kind() {
        ErrorKind::InvalidAudience => Refusal::Audience,
        ErrorKind::InvalidIssuer => Refusal::UnknownIssuer,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => Refusal::Claims,
        _ => Refusal::Signature,
    })?;
    Ok(decoded.claims)
}

fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<(), Refusal> {
    let now = now.as_micros() as f64 / 1e6;
    let time = |name| claims.get(name).map(|it| it.as_f64().ok_or(Refusal::Claims)).transpose();
    let expires_at = time("exp")?.ok_or(Refusal::Claims)?;
    if now >= expires_at + SKEW_S {
        return Err(Refusal::Expired);
    }
    if time("nbf")?.is_some_and(|not_before| not_before > now + SKEW_S) {
        return Err(Refusal::NotYetValid);
    }
    if time("iat")?.is_some_and(|issued_at| issued_at > now + SKEW_S) {
        return Err(Refusal::IssuedInFuture);
    }
    Ok(())
}

/// Returns a claim that is a text of a sensible length. A control character is in none: the
/// database refuses NUL, and the others would garble logs.
fn text<'a>(claims: &'a Map<String, Value>, name: &str, max: usize) -> Option<&'a str> {
    let text = claims.get(name)?.as_str()?;
    ((1..=max).contains(&text.len()) && !text.contains(char::is_control)).then_some(text)
}
