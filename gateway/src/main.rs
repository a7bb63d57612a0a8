//! The process of the gateway.

use std::process::ExitCode;

use parlance_core::Clock;
use parlance_gateway::{NAME, start};
use parlance_runtime::Service;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let service = Service {
        name: NAME,
        about: "HTTP and WebSocket for clients, gRPC to the services behind",
        migrations: None,
    };
    service.run(async |config, lifecycle| start(config, Clock::system(), lifecycle).await)
}
