//! Refresh tokens: 256 random bits in base64url, which are stored nowhere.

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Error;

/// The SHA-256 of the text of a token. The token is random, so a hash without salt is enough.
#[derive(Clone, Copy)]
pub(crate) struct TokenHash(pub(crate) [u8; SHA256_OUTPUT_LEN]);

impl TokenHash {
    /// Hashes any text that a client presents.
    pub(crate) fn of(token: &str) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }
}

/// Makes the text of a new token.
pub(crate) fn generate() -> Result<String, Error> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
