//! Ports for servers that nobody has to know beforehand.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::bail;
use rand::Rng;

/// Below the range that the kernel takes the ports of outgoing connections from, so that none of these gets in between.
const RANGE: std::ops::Range<u16> = 12_000..32_000;
const MOST_ATTEMPTS: usize = 1000;

/// Ports that this process was given before: a server may not have begun to listen on its own yet.
static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port of 127.0.0.1 on which nobody listens, never the same one twice in a process.
pub fn free_port() -> anyhow::Result<u16> {
    for _ in 0..MOST_ATTEMPTS {
        let port = rand::rng().random_range(RANGE);
        let is_new = GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
        if is_new && is_free(Ipv4Addr::LOCALHOST, port) {
            return Ok(port);
        }
    }
    bail!("no free port was found on 127.0.0.1 between {} and {}", RANGE.start, RANGE.end)
}

/// Whether a server could listen there now.
pub(crate) fn is_free(address: Ipv4Addr, port: u16) -> bool {
    TcpListener::bind((address, port)).is_ok()
}
