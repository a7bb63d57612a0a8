//! The trusted issuers of identities: which there are, their keys, and the check of their tokens.
//! `background::refresh_issuers` reads the file and the keys again and again.

mod config;
mod http;
mod identity;
mod key_set;
mod key_source;
mod registry;

pub(crate) use config::IssuersFile;
pub(crate) use identity::{Identity, Refusal};
pub(crate) use key_source::{FetchedKeys, KeySource};
pub(crate) use registry::Issuers;
