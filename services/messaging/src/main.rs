//! The process of the messaging service.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use parlance_messaging::{Config, MIGRATIONS, NAME};
use parlance_runtime::config::{HealthConfig, LogConfig, PostgresConfig};
use parlance_runtime::{Lifecycle, Threads, admin, health, postgres, settings, telemetry, trace};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Messages, their order and live events.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves gRPC until SIGTERM.
    Serve(Box<Config>),
    /// Checks whether the service on this host is ready.
    Health(HealthConfig),
    /// Migrates the schema.
    Migrate {
        #[command(flatten)]
        postgres: PostgresConfig,
        /// Lists the migrations without running any.
        #[arg(long)]
        status: bool,
        #[command(flatten)]
        log: LogConfig,
    },
    /// Lists all settings, one JSON object a line.
    Settings,
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Cli::parse().command;
    let worker_threads = match &command {
        Command::Serve(config) => config.process.worker_threads,
        _ => None,
    };
    Threads::HalfTheCores.run(worker_threads, run(command))
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(config) => {
            let metrics = telemetry::init(NAME, &config.process)?;
            let (lifecycle, shutdown) = Lifecycle::new(config.process.drain_time);
            let set_up = async {
                trace::start(NAME, &config.process, &lifecycle)?;
                admin::start(config.process.admin_listen, metrics, &lifecycle).await?;
                parlance_messaging::start(*config, &lifecycle).await
            };
            shutdown.run(set_up).await
        }
        Command::Health(config) => {
            health::ask(&config).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate { postgres, status: true, .. } => {
            print!("{}", postgres::migration_status(NAME, &postgres, &MIGRATIONS).await?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate { postgres, status: false, log } => {
            telemetry::init_log(&log)?;
            postgres::migrate(NAME, &postgres, &MIGRATIONS).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Settings => {
            print!("{}", settings::describe(&Cli::command()));
            Ok(ExitCode::SUCCESS)
        }
    }
}
