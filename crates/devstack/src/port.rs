//! Free ports for servers.

use std::env;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};

/// The range is below the ports that the kernel picks for outgoing connections, so that such a
/// connection never takes a port between its choice here and the start of the server.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;
/// The distance between the first candidates of two processes with neighbouring ids. It keeps them
/// from competing for the same ports.
const STRIDE: u32 = 97;

/// Returns a port of 127.0.0.1 on which no process listens. No other call, in this process or in
/// another one, returns the same port while this process runs.
pub fn free_port() -> anyhow::Result<u16> {
    static CALLS: AtomicU32 = AtomicU32::new(0);

    let folder = env::temp_dir().join("parlance-ports");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for _ in 0..COUNT {
        let offset =
            process::id().wrapping_mul(STRIDE).wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from(offset % u32::from(COUNT))?;
        if is_free(Ipv4Addr::LOCALHOST.into(), port) && reserve(&folder, port) {
            return Ok(port);
        }
    }
    bail!("no free port was found on 127.0.0.1 between {FIRST} and {}", FIRST + COUNT)
}

/// Returns 127.0.0.1 and a [free port](free_port).
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port()?).into())
}

/// True if a server can listen there now.
pub(crate) fn is_free(address: IpAddr, port: u16) -> bool {
    TcpListener::bind((address, port)).is_ok()
}

/// Reserves a port for this process: the process that holds the lock on the file of a port owns the
/// port. The kernel releases the lock when the process ends.
fn reserve(folder: &Path, port: u16) -> bool {
    static RESERVED: Mutex<Vec<File>> = Mutex::new(Vec::new());

    let Ok(file) = File::create(folder.join(port.to_string())) else { return false };
    let is_locked = file.try_lock().is_ok();
    if is_locked {
        RESERVED.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    }
    is_locked
}

#[cfg(test)]
#[path = "tests/port.rs"]
mod tests;
