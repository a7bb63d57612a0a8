//! The rooms service as a process.

use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use parlance_core::Clock;
use parlance_rooms::{Config, SERVICE};
use parlance_runtime::config::{HealthConfig, LogConfig, PostgresConfig, ProcessConfig};
use parlance_runtime::{Lifecycle, Threads, admin, health, settings, telemetry, trace};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rooms and memberships.
#[derive(Parser)]
#[command(name = "rooms", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Brings the schema up to date and serves.
    Serve(Box<Serve>),
    /// Asks the service that runs here whether it is ready.
    Health(HealthConfig),
    /// Brings the schema up to date, or lists the migrations.
    Migrate(Migrate),
    /// Lists all settings, each as a JSON object on a line.
    Settings,
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    process: ProcessConfig,
    #[command(flatten)]
    config: Config,
}

#[derive(Args)]
struct Migrate {
    /// Only lists the migrations and whether they were applied.
    #[arg(long)]
    status: bool,
    #[command(flatten)]
    log: LogConfig,
    #[command(flatten)]
    postgres: PostgresConfig,
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Cli::parse().command;
    let worker_threads = match &command {
        Command::Serve(arguments) => arguments.process.worker_threads,
        _ => None,
    };
    Threads::HalfTheCores.run(worker_threads, run(command))
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(arguments) => serve(arguments.process, arguments.config).await,
        Command::Health(config) => {
            health::ask(&config).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate(Migrate { postgres, status: true, .. }) => {
            print!("{}", parlance_rooms::migration_status(&postgres).await?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate(Migrate { postgres, status: false, log }) => {
            telemetry::init_log(&log)?;
            parlance_rooms::migrate(&postgres).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Settings => {
            print!("{}", settings::describe(&Cli::command()));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn serve(process: ProcessConfig, config: Config) -> anyhow::Result<ExitCode> {
    let metrics = telemetry::init(SERVICE, &process)?;
    let (lifecycle, shutdown) = Lifecycle::new(process.drain_time);
    let set_up = async {
        trace::start(SERVICE, &process, &lifecycle)?;
        admin::start(process.admin_listen, metrics, &lifecycle).await?;
        parlance_rooms::start(config, Clock::system(), &lifecycle).await
    };
    shutdown.run(set_up).await
}
