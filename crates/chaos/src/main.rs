//! The command `chaos`. It exits with 0 if every promise was kept, with 1 if one was broken, and
//! with 2 if the run failed.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use parlance_chaos::checker::check;
use parlance_chaos::plan::{Plan, Scale};
use parlance_chaos::plot::plot;
use parlance_chaos::report::{PLOT, Report};
use parlance_chaos::run::{Environment, execute_with_resources};
use parlance_chaos::scenarios::{Measured, RemoteHosts, Scenario};
use parlance_devstack::Progress;

/// Injects faults into a private Parlance while simulated clients chat, and checks that every
/// promise is kept.
#[derive(Parser)]
#[command(name = "chaos", version)]
struct Cli {
    /// Seed of the schedule; the same seed makes the same schedule [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Run for two minutes instead of ten, with fewer clients
    #[arg(long)]
    quick: bool,
    /// Measure one promise instead, under the condition that is hardest for it
    #[arg(long, conflicts_with = "quick")]
    scenario: Option<Scenario>,
    /// Chat through the gateway at this address until the standard input ends, without injecting
    /// faults, then check
    #[arg(long, conflicts_with_all = ["quick", "scenario"], requires = "database_url")]
    against: Option<SocketAddr>,
    /// Database of the Parlance that --against names
    #[arg(long, env = "CHAOS_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Folder for the report and the logs
    #[arg(long, default_value = "target/chaos")]
    output: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Returns true if every promise was kept. Writes the report to a file and to the standard output.
async fn run(cli: Cli) -> anyhow::Result<bool> {
    let seed = cli.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    let progress = Progress::new();
    let (name, measured) =
        if let (Some(gateway), Some(database_url)) = (cli.against, cli.database_url) {
            let remote_hosts = RemoteHosts { gateway, database_url };
            ("remote-hosts", remote_hosts.measure(seed, &progress).await?)
        } else if let Some(scenario) = cli.scenario {
            progress.line(&format!("starting Parlance for {}; seed {seed}", scenario.name()));
            (scenario.name(), scenario.measure(seed, &cli.output, &progress).await?)
        } else {
            ("report", inject_faults(seed, cli.quick, &cli.output, &progress).await?)
        };
    drop(progress);
    let path = cli.output.join(format!("{name}.md"));
    let written = fs::write(&path, &measured.report);
    written.with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", measured.report);
    Ok(measured.is_kept)
}

async fn inject_faults(
    seed: u64,
    is_quick: bool,
    output: &Path,
    progress: &Progress,
) -> anyhow::Result<Measured> {
    let begin = Instant::now();
    progress.line(&format!("starting Parlance; seed {seed}"));
    let plan = Plan::new(seed, if is_quick { Scale::QUICK } else { Scale::FULL });
    let environment = Environment::start(plan.owners_agree).await?;
    let target = environment.target();
    let history = execute_with_resources(target, &environment, &plan, progress).await;
    environment.stack.keep_logs(&output.join("logs"))?;
    let history = history.with_context(|| format!("the run with seed {seed} failed"))?;

    let (verdict, duration) = (check(&history), begin.elapsed());
    if let Some(plot) = plot(&history) {
        plot.write(&output.join(PLOT))?;
    }
    let report = Report { plan: &plan, is_quick, history: &history, verdict: &verdict, duration };
    Ok(Measured { report: report.to_string(), is_kept: verdict.is_clean() })
}
