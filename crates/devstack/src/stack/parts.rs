//! What Parlance consists of: its programs, who calls whom, and the settings that tell them so.

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::wiring::{Caller, Wiring};
use crate::free_port;

/// The name of the part that the public talks to.
pub(crate) const GATEWAY: &str = "gateway";
/// The parts that have a schema.
pub(crate) const SERVICES: [&str; 4] = ["auth", "contacts", "rooms", "messaging"];

/// Who may end at the same time, in order: a caller ends before those it calls.
pub(super) const STOPPING_ORDER: [&[&str]; 3] =
    [&[GATEWAY], &["messaging", "contacts"], &["rooms", "auth"]];

/// Where one process serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    /// gRPC, or the public API at a gateway.
    pub(super) address: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self { address, admin: free_address()? })
    }

    pub(super) fn free() -> anyhow::Result<Self> {
        Self::new(free_address()?)
    }
}

/// The folder with the programs of all parts: where cargo put the running program, or
/// `PARLANCE_BIN_DIR`.
pub(crate) fn folder_of_programs() -> anyhow::Result<PathBuf> {
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
            "the program `{part}` is not in {}: build it with `cargo build --workspace --bins`, or set PARLANCE_BIN_DIR to \
             where it is",
            folder.display()
        );
    }
    Ok(folder)
}

/// The settings that say where a replica serves and where those are that it calls.
pub(super) fn addresses(
    caller: Caller,
    endpoint: Endpoint,
    endpoints: &[(&'static str, Vec<Endpoint>)],
    wiring: &Wiring,
) -> anyhow::Result<Vec<(String, String)>> {
    let part = caller.part;
    let listen = if part == GATEWAY { "LISTEN" } else { "GRPC_LISTEN" };
    let mut settings = vec![
        (listen.to_owned(), endpoint.address.to_string()),
        ("ADMIN_LISTEN".to_owned(), endpoint.admin.to_string()),
    ];
    for (callee, replicas) in endpoints.iter().filter(|(callee, _)| callees(part).contains(callee))
    {
        let told = |(index, replica): (usize, &Endpoint)| {
            wiring.address(caller, callee, index, replica.address)
        };
        let addresses: Vec<SocketAddr> =
            replicas.iter().enumerate().map(told).collect::<anyhow::Result<_>>()?;
        let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        settings.push((format!("{}_ADDRESSES", callee.to_uppercase()), addresses.join(",")));
    }
    Ok(settings)
}

fn callees(part: &str) -> &'static [&'static str] {
    match part {
        GATEWAY => &SERVICES,
        "contacts" | "messaging" => &["rooms"],
        _ => &[],
    }
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port()?).into())
}
