//! The process of the messaging service.

use std::process::ExitCode;

use parlance_messaging::{MIGRATIONS, NAME, start};
use parlance_runtime::Service;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let service = Service {
        name: NAME,
        about: "Messages, their order and live events",
        migrations: Some(&MIGRATIONS),
    };
    service.run(start)
}
