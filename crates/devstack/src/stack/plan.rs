//! The description of a stack.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::wiring::Wiring;
use crate::postgres::Durability;
use crate::secrets::Secrets;

/// The processes to start, and how.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Holds data and logs.
    pub(crate) folder: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) secrets: Secrets,
    /// The number of processes of each service.
    pub(crate) replicas: usize,
    /// The public address of each gateway.
    pub(crate) gateways: Vec<SocketAddr>,
    /// Override the settings that this crate makes.
    pub(crate) settings: Vec<Setting>,
    pub(crate) wiring: Wiring,
    /// True if all connections between the processes use TLS.
    pub(crate) is_encrypted: bool,
}

/// An environment variable of all processes of a part.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(super) part: String,
    pub(super) name: String,
    pub(super) value: String,
}

impl Setting {
    pub(super) fn new(part: &str, name: &str, value: &str) -> Self {
        Self { part: part.to_owned(), name: name.to_owned(), value: value.to_owned() }
    }
}
