//! The process of the gateway.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use parlance_core::Clock;
use parlance_gateway::{Config, NAME};
use parlance_runtime::config::HealthConfig;
use parlance_runtime::{Lifecycle, Threads, admin, health, settings, telemetry, trace};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves HTTP and WebSocket to clients and calls the services by gRPC.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves HTTP until SIGTERM.
    Serve(Box<Config>),
    /// Checks whether the gateway on this machine is ready.
    Health(HealthConfig),
    /// Lists all settings, as one JSON object per line.
    Settings,
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Serve(config) => {
            Threads::AllCores.run(config.process.worker_threads, serve(*config))
        }
        Command::Health(config) => Threads::AllCores.run(None, check_health(config)),
        Command::Settings => {
            print!("{}", settings::describe(&Cli::command()));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn check_health(config: HealthConfig) -> anyhow::Result<ExitCode> {
    health::ask(&config).await?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let metrics = telemetry::init(NAME, &config.process)?;
    let (lifecycle, shutdown) = Lifecycle::new(config.process.drain_time);
    let set_up = async {
        trace::start(NAME, &config.process, &lifecycle)?;
        admin::start(config.process.admin_listen, metrics, &lifecycle).await?;
        parlance_gateway::start(config, Clock::system(), &lifecycle).await
    };
    shutdown.run(set_up).await
}
