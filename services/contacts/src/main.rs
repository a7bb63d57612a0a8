//! The process of the contacts service.

use std::process::ExitCode;

use parlance_contacts::{MIGRATIONS, SERVICE, start};
use parlance_core::Clock;
use parlance_runtime::Service;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let service =
        Service { name: SERVICE, about: "Invitations and contacts", migrations: Some(&MIGRATIONS) };
    service.run(async |config, lifecycle| start(config, Clock::system(), lifecycle).await)
}
