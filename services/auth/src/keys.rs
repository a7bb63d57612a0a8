//! Ed25519 keys: making them, and choosing the one that signs now.
//!
//! A key is published as soon as it is made. It signs from `signs_from` until its successor signs,
//! and stays published until the last token it signed has expired.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use parlance_core::Timestamp;

use crate::error::Error;
use crate::model::PublicKey;
use crate::store::signing_keys::KeyRow;

/// Makes a key, without storing it.
pub(crate) fn generate(now: Timestamp, signs_from: Timestamp) -> Result<KeyRow, Error> {
    let pair = Ed25519KeyPair::generate().map_err(|_| Error::SigningKey)?;
    let public_key = pair.public_key().as_ref().to_vec();
    let private_key = pair.to_pkcs8().map_err(|_| Error::SigningKey)?.as_ref().to_vec();
    Ok(KeyRow {
        kid: thumbprint(&public_key),
        private_key,
        public_key,
        created_at: now,
        signs_from,
        retires_at: None,
    })
}

/// Returns the JWK thumbprint of an Ed25519 key: the hash of its required members in lexicographic
/// order ([RFC 7638](https://www.rfc-editor.org/rfc/rfc7638), [RFC
/// 8037](https://www.rfc-editor.org/rfc/rfc8037)).
fn thumbprint(public_key: &[u8]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public_key);
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
}

/// A key that can sign.
#[derive(Debug)]
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) private: EncodingKey,
    public: Vec<u8>,
    signs_from: Timestamp,
    retires_at: Option<Timestamp>,
}

impl From<KeyRow> for SigningKey {
    fn from(row: KeyRow) -> Self {
        Self {
            kid: row.kid,
            private: EncodingKey::from_ed_der(&row.private_key),
            public: row.public_key,
            signs_from: row.signs_from,
            retires_at: row.retires_at,
        }
    }
}

impl SigningKey {
    fn is_retired(&self, now: Timestamp) -> bool {
        self.retires_at.is_some_and(|retires_at| retires_at <= now)
    }
}

/// All keys, in the order in which they sign.
#[derive(Debug)]
pub(crate) struct KeyRing(Vec<SigningKey>);

impl KeyRing {
    /// Expects the rows in the order of `store::signing_keys::list`.
    pub(crate) fn new(rows: Vec<KeyRow>) -> Self {
        Self(rows.into_iter().map(SigningKey::from).collect())
    }

    /// Returns the last key that may sign now. The clocks of replicas differ a little: the very
    /// first key signs even if its time is in the future by this clock.
    pub(crate) fn signing_key(&self, now: Timestamp) -> Option<&SigningKey> {
        self.0.iter().rfind(|key| key.signs_from <= now).or_else(|| self.0.first())
    }

    /// Returns the keys that verifiers have to accept.
    pub(crate) fn published(&self, now: Timestamp) -> Vec<PublicKey> {
        let valid = self.0.iter().filter(|key| !key.is_retired(now));
        valid.map(|key| PublicKey { kid: key.kid.clone(), ed25519: key.public.clone() }).collect()
    }

    /// True if a key can be deleted.
    pub(crate) fn has_retired(&self, now: Timestamp) -> bool {
        self.0.iter().any(|key| key.is_retired(now))
    }
}

#[cfg(test)]
#[path = "tests/keys.rs"]
mod tests;
