//! `bench` runs the benchmark. See the library.

use std::process::ExitCode;

use clap::Parser;
use parlance_bench::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().run().await
}
