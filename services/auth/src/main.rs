//! The process of the auth service, and the commands of its operator.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use parlance_auth::commands;
use parlance_auth::config::{Config, RotateKeysConfig};
use parlance_core::Clock;
use parlance_runtime::config::{HealthConfig, LogConfig, PostgresConfig};
use parlance_runtime::{Lifecycle, Threads, admin, health, settings, telemetry, trace};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Users, passwords, signing keys and tokens of Parlance.
#[derive(Parser)]
#[command(name = "auth", version)]
enum Cli {
    /// Serves until SIGTERM.
    Serve(Box<Config>),
    /// Asks the service that runs here whether it is ready.
    Health(HealthConfig),
    /// Brings the database schema up to date.
    Migrate {
        #[command(flatten)]
        postgres: PostgresConfig,
        /// Only lists the migrations and whether they were applied.
        #[arg(long)]
        status: bool,
        #[command(flatten)]
        log: LogConfig,
    },
    /// Publishes a new signing key, which takes over once every verifier knows it.
    RotateKeys(RotateKeysConfig),
    /// Refuses a user's password and tokens from now on.
    Deactivate(UserArgs),
    /// Takes a deactivation back.
    Activate(UserArgs),
    /// Lists all settings, each as a JSON object on a line.
    Settings,
}

#[derive(clap::Args)]
struct UserArgs {
    /// The name of the user, in any case.
    username: String,
    #[command(flatten)]
    postgres: PostgresConfig,
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Cli::parse();
    let worker_threads = match &command {
        Cli::Serve(config) => config.process.worker_threads,
        _ => None,
    };
    Threads::HalfTheCores.run(worker_threads, run(command))
}

async fn run(command: Cli) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    match command {
        Cli::Serve(config) => return serve(*config, clock).await,
        Cli::Health(config) => health::ask(&config).await?,
        Cli::Migrate { postgres, status: true, .. } => {
            print!("{}", commands::migration_status(&postgres).await?);
        }
        Cli::Migrate { postgres, status: false, log } => {
            telemetry::init_log(&log)?;
            commands::migrate(&postgres).await?;
        }
        Cli::RotateKeys(config) => {
            let rotation = commands::rotate_keys(&config, &clock).await?;
            println!(
                "The key {} is published and signs from {} on.",
                rotation.kid, rotation.signs_from
            );
            println!("The old key is published until {}.", rotation.old_key_retires_at);
        }
        Cli::Deactivate(user) => set_active(&user, &clock, false).await?,
        Cli::Activate(user) => set_active(&user, &clock, true).await?,
        Cli::Settings => print!("{}", settings::describe(&Cli::command())),
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config, clock: Clock) -> anyhow::Result<ExitCode> {
    let metrics = telemetry::init(parlance_auth::SERVICE, &config.process)?;
    let (lifecycle, shutdown) = Lifecycle::new(config.process.drain_time);
    let set_up = async {
        trace::start(parlance_auth::SERVICE, &config.process, &lifecycle)?;
        admin::start(config.process.admin_listen, metrics, &lifecycle).await?;
        parlance_auth::start(config, clock, &lifecycle).await
    };
    shutdown.run(set_up).await
}

async fn set_active(user: &UserArgs, clock: &Clock, is_active: bool) -> anyhow::Result<()> {
    let user = commands::set_active(&user.postgres, clock, &user.username, is_active).await?;
    let state = if user.is_active { "active" } else { "inactive" };
    println!("The user {} (id {}) is {state}.", user.username, user.id);
    Ok(())
}
