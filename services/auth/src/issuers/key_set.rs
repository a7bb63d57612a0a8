//! The public keys of an issuer: a JSON Web Key Set (RFC 7517).

use anyhow::Context;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// More than any issuer publishes.
const MAX_KEYS: usize = 100;

/// The keys that a token may be signed with.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<Jwk>);

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Parses a document. Keys that this program cannot use are left out, as RFC 7517, section 5
    /// asks for.
    pub(super) fn parse(document: &[u8]) -> anyhow::Result<Self> {
        let document: Document =
            serde_json::from_slice(document).context("this is no JSON Web Key Set")?;
        let keys = document.keys.into_iter().take(MAX_KEYS);
        let keys = keys.filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Ok(Self(keys.filter(|key| key.common.key_id.is_some()).collect()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the key with this id that is meant for this algorithm.
    pub(super) fn find(&self, kid: &str, algorithm: Algorithm) -> Option<DecodingKey> {
        let found = self.0.iter().filter(|key| key.common.key_id.as_deref() == Some(kid));
        let key = found.into_iter().find(|key| is_for(key, algorithm))?;
        DecodingKey::from_jwk(key).ok()
    }
}

/// True if a key verifies signatures of this algorithm, by all that it says of itself.
fn is_for(key: &Jwk, algorithm: Algorithm) -> bool {
    let common = &key.common;
    let is_for_signatures =
        common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
    let verifies = common.key_operations.as_ref();
    let verifies = verifies.is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let is_named = common.key_algorithm.is_none_or(|it| it == KeyAlgorithm::from(algorithm));
    is_for_signatures && verifies && is_named && has_type_of(&key.algorithm, algorithm)
}

fn has_type_of(key: &AlgorithmParameters, algorithm: Algorithm) -> bool {
    match (algorithm, key) {
        (
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512,
            AlgorithmParameters::RSA(_),
        ) => true,
        (Algorithm::ES256, AlgorithmParameters::EllipticCurve(key)) => {
            key.curve == EllipticCurve::P256
        }
        (Algorithm::ES384, AlgorithmParameters::EllipticCurve(key)) => {
            key.curve == EllipticCurve::P384
        }
        (Algorithm::EdDSA, AlgorithmParameters::OctetKeyPair(key)) => {
            key.curve == EllipticCurve::Ed25519
        }
        _ => false,
    }
}

#[cfg(test)]
#[path = "tests/key_set.rs"]
mod tests;
