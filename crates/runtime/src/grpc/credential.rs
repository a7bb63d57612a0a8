//! How the parts know each other: by a secret in every call and, where there are certificates, by
//! those of every connection.

use std::sync::Arc;

use http::HeaderValue;
use http::header::InvalidHeaderValue;
use secrecy::SecretString;

use crate::Lifecycle;
use crate::config::CredentialConfig;
use crate::tls::Tls;
use crate::values::internal_tokens;

/// The scheme in front of the secret in the `authorization` entry of every call.
const SCHEME: &str = "Bearer ";

/// What this process shows to other parts and demands of them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Credential {
    tokens: SecretString,
    tls: Option<Tls>,
}

impl Credential {
    /// Reads the certificates, if there are some, now and whenever they change. One is enough for a
    /// process.
    pub fn start(config: &CredentialConfig, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        Ok(Self { tokens: config.internal_token.clone(), tls: Tls::start(&config.tls, lifecycle)? })
    }

    /// The `authorization` entry of calls to others.
    pub(super) fn shown(&self) -> Result<HeaderValue, InvalidHeaderValue> {
        let token = internal_tokens(&self.tokens).next().unwrap_or_default();
        let mut authorization = HeaderValue::try_from(format!("{SCHEME}{token}"))?;
        authorization.set_sensitive(true);
        Ok(authorization)
    }

    /// The `authorization` entries of which a caller must show one.
    pub(super) fn accepted(&self) -> Arc<[SecretString]> {
        internal_tokens(&self.tokens).map(|token| format!("{SCHEME}{token}").into()).collect()
    }

    pub(super) fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }
}
