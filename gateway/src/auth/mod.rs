//! Who a request comes from: verification of access tokens, with keys that come from auth.

pub(crate) mod verifier;
