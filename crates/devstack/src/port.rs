//! Ports for servers that nobody has to know beforehand.

use std::env;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};

/// Below the range that the kernel takes the ports of outgoing connections from, so that none of
/// these gets in between.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;
/// How far apart two processes with neighbouring ids begin, so that they rarely look at the same
/// ports.
const STRIDE: u32 = 97;

/// A port of 127.0.0.1 on which nobody listens, and which is given to nobody else while this
/// process lives.
pub fn free_port() -> anyhow::Result<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);

    let folder = env::temp_dir().join("parlance-ports");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for _ in 0..COUNT {
        let offset =
            process::id().wrapping_mul(STRIDE).wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from(offset % u32::from(COUNT))?;
        if is_free(Ipv4Addr::LOCALHOST.into(), port) && reserve(&folder, port) {
            return Ok(port);
        }
    }
    bail!("no free port was found on 127.0.0.1 between {FIRST} and {}", FIRST + COUNT)
}

/// Whether a server could listen there now.
pub(crate) fn is_free(address: IpAddr, port: u16) -> bool {
    TcpListener::bind((address, port)).is_ok()
}

/// Between here and the server's start another process could be given the same port: whoever holds
/// the lock of a port's file has it. The system takes the lock back when the process ends.
fn reserve(folder: &Path, port: u16) -> bool {
    static RESERVED: Mutex<Vec<File>> = Mutex::new(Vec::new());

    let Ok(file) = File::create(folder.join(port.to_string())) else { return false };
    let is_ours = file.try_lock().is_ok();
    if is_ours {
        RESERVED.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    }
    is_ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_reserved_once() {
        let port = free_port().unwrap();
        assert!(is_free(Ipv4Addr::LOCALHOST.into(), port));
        assert!(!reserve(&env::temp_dir().join("parlance-ports"), port));
    }
}
