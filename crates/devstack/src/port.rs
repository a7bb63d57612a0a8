//! Ports for servers that nobody has to know beforehand.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::bail;

/// Below the range that the kernel takes the ports of outgoing connections from, so that none of these gets in between.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;
/// How far apart two processes with neighbouring ids begin, so that stacks which start together do not race for the same ports.
const STRIDE: u32 = 97;

/// A port of 127.0.0.1 on which nobody listens, not the same one again soon.
pub fn free_port() -> anyhow::Result<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);

    for _ in 0..COUNT {
        let offset = process::id().wrapping_mul(STRIDE).wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from(offset % u32::from(COUNT))?;
        if is_free(Ipv4Addr::LOCALHOST.into(), port) {
            return Ok(port);
        }
    }
    bail!("no free port was found on 127.0.0.1 between {FIRST} and {}", FIRST + COUNT)
}

/// Whether a server could listen there now.
pub(crate) fn is_free(address: IpAddr, port: u16) -> bool {
    TcpListener::bind((address, port)).is_ok()
}
