//! The public keys that verify tokens.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use parlance_proto::auth::PublicKey;
use serde::Serialize;
use utoipa::ToSchema;

/// The keys by `kid`.
pub(super) type Keys = BTreeMap<Arc<str>, Key>;

#[derive(Clone)]
pub(super) struct Key {
    pub(super) kid: Arc<str>,
    pub(super) decoding: DecodingKey,
    pub(super) jwk: Jwk,
}

/// A public key as `/.well-known/jwks.json` shows it (RFC 8037).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Jwk {
    kty: &'static str,
    crv: &'static str,
    /// The 32 bytes of the key in base64url.
    x: String,
    /// The id of the key in the header of the tokens that it verifies.
    kid: String,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
}

pub(super) fn keys_by_id(keys: Vec<PublicKey>) -> Keys {
    keys.into_iter().map(Key::from).map(|key| (key.kid.clone(), key)).collect()
}

impl From<PublicKey> for Key {
    fn from(key: PublicKey) -> Self {
        let jwk = Jwk {
            kty: "OKP",
            crv: "Ed25519",
            x: BASE64_URL_SAFE_NO_PAD.encode(&key.ed25519),
            kid: key.kid.clone(),
            usage: "sig",
            alg: "EdDSA",
        };
        let decoding = DecodingKey::from_ed_der(&key.ed25519);
        Self { kid: key.kid.into(), decoding, jwk }
    }
}
