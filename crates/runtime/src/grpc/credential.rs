//! How the programs authenticate each other: by a secret in every call and, where certificates are
//! configured, by the certificates of every connection.

use std::sync::Arc;

use http::HeaderValue;
use http::header::InvalidHeaderValue;
use secrecy::SecretString;

use crate::Lifecycle;
use crate::config::CredentialConfig;
use crate::tls::Tls;
use crate::values::internal_tokens;

/// The scheme before the secret in the `authorization` entry of every call.
const SCHEME: &str = "Bearer ";

/// What this process presents to other programs, and demands of them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Credential {
    tokens: SecretString,
    tls: Option<Tls>,
}

impl Credential {
    /// Reads the certificates, if some are configured, now and whenever they change. A process
    /// needs one credential.
    pub fn start(config: &CredentialConfig, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        Ok(Self { tokens: config.internal_token.clone(), tls: Tls::start(&config.tls, lifecycle)? })
    }

    /// Returns the `authorization` entry of outgoing calls.
    pub(super) fn authorization(&self) -> Result<HeaderValue, InvalidHeaderValue> {
        let token = internal_tokens(&self.tokens).next().unwrap_or_default();
        let mut authorization = HeaderValue::try_from(format!("{SCHEME}{token}"))?;
        authorization.set_sensitive(true);
        Ok(authorization)
    }

    /// Returns the `authorization` entries of which an incoming call must carry one.
    pub(super) fn accepted(&self) -> Arc<[SecretString]> {
        internal_tokens(&self.tokens).map(|token| format!("{SCHEME}{token}").into()).collect()
    }

    pub(super) fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }
}
