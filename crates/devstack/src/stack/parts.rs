//! The parts of Parlance: their programs, which part calls which, and where a replica listens.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, ensure};

use crate::port::free_address;

/// The part that serves the public API.
pub(crate) const GATEWAY: &str = "gateway";
/// The parts that have a schema.
pub(crate) const SERVICES: [&str; 4] = ["auth", "contacts", "rooms", "messaging"];
/// The database that all services share.
pub(super) const DATABASE: &str = "parlance";
/// Groups of parts that stop at the same time, callers before callees.
pub(super) const STOP_ORDER: [&[&str]; 3] =
    [&[GATEWAY], &["messaging", "contacts"], &["rooms", "auth"]];

/// The parts that a part calls.
pub(super) fn callees(part: &str) -> &'static [&'static str] {
    match part {
        GATEWAY => &SERVICES,
        "contacts" | "messaging" => &["rooms"],
        _ => &[],
    }
}

/// The addresses at which one process listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    /// gRPC, or the public API of a gateway.
    pub(super) address: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Endpoint {
    /// An endpoint with a free admin port.
    pub(super) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self { address, admin: free_address()? })
    }

    /// An endpoint with free ports.
    pub(super) fn free() -> anyhow::Result<Self> {
        Self::new(free_address()?)
    }
}

/// The path of the program of a part.
pub fn program(part: &str) -> anyhow::Result<PathBuf> {
    Ok(programs_folder()?.join(part))
}

/// The folder with the programs of all parts: `PARLANCE_BIN_DIR`, or the folder with the running
/// program or one above it, which is where cargo puts them.
pub(crate) fn programs_folder() -> anyhow::Result<PathBuf> {
    let folder = match env::var_os("PARLANCE_BIN_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let here = env::current_exe().context("the path of the running program is unknown")?;
            let mut folders = here.ancestors().skip(1);
            let found = folders.find(|folder| folder.join(GATEWAY).is_file());
            found.or(here.parent()).unwrap_or(&here).to_owned()
        }
    };
    for part in SERVICES.iter().chain([&GATEWAY]) {
        ensure!(
            folder.join(part).is_file(),
            "the program `{part}` is not in {}: build it with `cargo build --workspace --bins`, \
             or set PARLANCE_BIN_DIR to its folder",
            folder.display()
        );
    }
    Ok(folder)
}
