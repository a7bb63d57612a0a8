//! The process of the auth service.

use std::process::ExitCode;

use parlance_auth::{MIGRATIONS, SERVICE, commands, start};
use parlance_core::Clock;
use parlance_runtime::Service;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let service = Service {
        name: SERVICE,
        about: "Users, passwords, signing keys and tokens",
        migrations: Some(&MIGRATIONS),
    };
    service.run_with_commands(
        async |config, lifecycle| start(config, Clock::system(), lifecycle).await,
        commands::run,
    )
}
