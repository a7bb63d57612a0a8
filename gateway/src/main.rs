//! The process of the gateway.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use parlance_core::Clock;
use parlance_gateway::{Config, NAME};
use parlance_runtime::config::HealthConfig;
use parlance_runtime::{Lifecycle, Threads, admin, health, settings, telemetry, trace};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// HTTP and WebSocket for clients, gRPC to the services behind.
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
    /// Asks the gateway that runs here whether it is ready.
    Health(HealthConfig),
    /// Lists all settings, each as a JSON object on a line.
    Settings,
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Cli::parse().command;
    let worker_threads = match &command {
        Command::Serve(config) => config.process.worker_threads,
        _ => None,
    };
    Threads::AllCores.run(worker_threads, run(command))
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(config) => serve(*config).await,
        Command::Health(config) => {
            health::ask(&config).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Settings => {
            print!("{}", settings::describe(&Cli::command()));
            Ok(ExitCode::SUCCESS)
        }
    }
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
