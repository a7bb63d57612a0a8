//! The command-line tool `devstack`: all of Parlance on this machine, for development.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use parlance_devstack::commands::{prepare, reset, up};

/// Parlance on this machine, for development.
#[derive(Parser)]
#[command(name = "devstack", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts Postgres, Redis and all of Parlance, and runs until Ctrl-C. The data stays.
    Up(up::Options),
    /// Deletes the data.
    Reset(reset::Options),
    /// Describes all SQL statements, for builds without a database (the folders `.sqlx`).
    Prepare(prepare::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Up(options) => up::run(options).await,
        Command::Reset(options) => reset::run(options),
        Command::Prepare(options) => prepare::run(options).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("devstack: {error:#}");
            ExitCode::FAILURE
        }
    }
}
