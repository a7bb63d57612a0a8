//! Authenticates requests by their access tokens.
//!
//! A stream from auth ([`stream`]) keeps in memory what decides whether a token is accepted
//! ([`access`]), so that [`verifier`] makes no call for a request.

mod access;
mod ended;
mod freshness;
mod gauges;
pub(crate) mod identity;
pub(crate) mod keys;
mod stream;
pub(crate) mod verifier;
