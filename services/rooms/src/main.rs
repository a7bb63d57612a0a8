//! The process of the rooms service.

use std::process::ExitCode;

use parlance_core::Clock;
use parlance_rooms::{MIGRATIONS, SERVICE, start};
use parlance_runtime::Service;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let service =
        Service { name: SERVICE, about: "Rooms and memberships", migrations: Some(&MIGRATIONS) };
    service.run(async |config, lifecycle| start(config, Clock::system(), lifecycle).await)
}
