//! The consistency checker: starts a private Parlance of two replicas of everything, drives clients
//! over real sockets, injects faults on a seeded schedule, heals, waits for quiet, and judges what
//! was recorded. It exits with 1 when a promise was broken.

mod api;
mod checker;
mod clients;
mod collect;
mod history;
mod latency;
mod misbehaving;
mod nemesis;
mod network;
mod plan;
mod plot;
mod progress;
mod report;
mod resources;
mod run;
mod scenarios;
#[cfg(test)]
mod self_tests;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;

use crate::plan::{Plan, Scale};
use crate::progress::Display;
use crate::report::Report;
use crate::scenarios::Scenario;
use crate::scenarios::remote_hosts::{self, Elsewhere};

/// Hurts a private Parlance and proves that nothing was lost.
#[derive(Parser)]
#[command(name = "chaos", version)]
struct Cli {
    /// The same seed makes the same schedule; without one, one is taken by chance.
    #[arg(long)]
    seed: Option<u64>,
    /// About two minutes instead of ten, with fewer clients.
    #[arg(long)]
    quick: bool,
    /// Measure one promise instead, under the condition that is hardest for it.
    #[arg(long, conflicts_with = "quick")]
    scenario: Option<Scenario>,
    /// Talk to the Parlance at this address until the standard input ends, instead of hurting a
    /// private one; then judge.
    #[arg(long, conflicts_with_all = ["quick", "scenario"], requires = "database_url")]
    against: Option<SocketAddr>,
    /// The database of that Parlance.
    #[arg(long, env = "CHAOS_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Where the report and the logs go.
    #[arg(long, default_value = "target/chaos")]
    output: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match check(Cli::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether no promise was broken.
async fn check(cli: Cli) -> anyhow::Result<bool> {
    let seed = cli.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    if let (Some(gateway), Some(database_url)) = (cli.against, cli.database_url) {
        let place = Elsewhere { gateway, database_url };
        let measured = remote_hosts::measure(&place, seed, &Display::new()).await?;
        publish(&cli.output.join("elsewhere.md"), &measured.report)?;
        return Ok(measured.is_kept);
    }
    if let Some(scenario) = cli.scenario {
        let display = Display::new();
        display.step(&format!("starting Parlance for {scenario}; seed {seed}"));
        let measured = scenarios::measure(scenario, seed, &cli.output, &display).await?;
        drop(display);
        publish(&cli.output.join(format!("{scenario}.md")), &measured.report)?;
        return Ok(measured.is_kept);
    }
    let scale = if cli.quick { Scale::QUICK } else { Scale::FULL };
    let plan = Plan::new(seed, scale);
    let display = Display::new();
    let begin = Instant::now();
    display.step(&format!("starting Parlance; seed {}", plan.seed));
    let arena = run::start(plan.homes_agree).await?;
    let outcome = run::run(arena.api()?, &arena, &plan, &display).await;
    arena.stack.keep_logs(&cli.output.join("logs"))?;
    let history = outcome.with_context(|| format!("seed {}", plan.seed))?;

    let verdict = checker::judge(&history);
    let (duration, is_quick) = (begin.elapsed(), cli.quick);
    drop(display);
    plot::draw(&cli.output.join(report::PLOT), &history)?;
    let report = Report { plan: &plan, is_quick, history: &history, verdict: &verdict, duration };
    publish(&cli.output.join("report.md"), &report.to_string())?;
    Ok(verdict.is_clean())
}

/// Writes a report and shows it.
fn publish(path: &Path, report: &str) -> anyhow::Result<()> {
    fs::write(path, report).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{report}");
    Ok(())
}
