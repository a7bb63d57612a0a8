//! Authenticates requests by their access tokens.

pub(crate) mod verifier;
