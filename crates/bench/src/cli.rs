//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::baselines::{broadcast, routes};
use crate::open_files;
use crate::run;
use crate::scenario::Scenario;

/// Measures a private Parlance beside baselines.
#[derive(Parser)]
#[command(name = "bench", version)]
pub struct Cli {
    #[command(subcommand)]
    baseline: Option<Baseline>,
    /// Run only these scenarios, comma-separated.
    #[arg(long, value_enum, value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// Run one short round of everything, to see that all of it works.
    #[arg(long)]
    quick: bool,
    /// The number of gateways, and of processes of each service.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u8).range(1..=8))]
    replicas: u8,
    /// The folder of the report.
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
}

/// The baselines that run as a process of their own.
#[derive(Subcommand)]
enum Baseline {
    #[command(name = broadcast::COMMAND, hide = true)]
    Broadcast,
    #[command(name = routes::COMMAND, hide = true)]
    Routes,
}

impl Cli {
    /// Runs the command. The exit code is 1 if a scenario could not be measured, and 2 if the run
    /// failed as a whole. A missed goal does not change it.
    pub async fn run(self) -> ExitCode {
        open_files::raise_limit();
        let result = match self.baseline {
            Some(Baseline::Broadcast) => broadcast::serve().await.map(|()| true),
            Some(Baseline::Routes) => routes::serve().await.map(|()| true),
            None => run::run(&self.scenario, self.quick, self.replicas, &self.output).await,
        };
        match result {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("bench: {error:#}");
                ExitCode::from(2)
            }
        }
    }
}
