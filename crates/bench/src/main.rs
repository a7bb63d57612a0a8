//! The benchmark: starts a private Parlance, drives it where its users feel it, runs a yardstick beside each scenario, and prints one
//! table. What is measured is what the programs of its own build do: use a release build.

mod api;
mod load;
mod machine;
mod plot;
mod progress;
mod report;
mod result;
mod scale;
mod scenarios;
mod stats;
mod usage;
mod wire;
mod yardsticks;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::{Parser, Subcommand};
use parlance_devstack::Stack;

use crate::api::Api;
use crate::machine::Machine;
use crate::progress::Display;
use crate::report::{Failure, Findings, Report};
use crate::scale::Scale;
use crate::scenarios::{Bench, Scenario};
use crate::yardsticks::{broadcast, pgbench};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures a private Parlance beside what it is compared with.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Cli {
    #[command(subcommand)]
    yardstick: Option<Yardstick>,
    /// Only these, comma-separated; without it all of them.
    #[arg(long, value_enum, value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// Smaller and shorter, to see that all of it works.
    #[arg(long)]
    quick: bool,
    /// How many processes of each service, and how many gateways.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u8).range(1..=8))]
    replicas: u8,
    /// Where the report goes.
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
}

/// What this program does when it serves as a yardstick for itself.
#[derive(Subcommand)]
enum Yardstick {
    #[command(name = broadcast::COMMAND, hide = true)]
    Broadcast,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.yardstick {
        Some(Yardstick::Broadcast) => broadcast::serve().await.map(|()| true),
        None => measure(cli).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every scenario could be carried out; whether goals are met is for the reader of the table.
async fn measure(cli: Cli) -> anyhow::Result<bool> {
    let begin = Instant::now();
    let display = Display::new();
    let scale = if cli.quick { Scale::QUICK } else { Scale::FULL };
    let replicas = usize::from(cli.replicas);
    let wanted = Scenario::ALL.into_iter().filter(|it| cli.scenario.is_empty() || cli.scenario.contains(it));

    display.step("starting Parlance");
    let stack = Stack::builder().replicas(replicas).gateways(replicas).durable().start().await?;
    pgbench::prepare(stack.postgres()).await.context("cannot prepare the yardsticks")?;
    let machine = Machine::look(&stack).await;
    let api = Api::of(&stack, replicas)?;
    let bench = Bench::new(stack, api, scale, &display);

    let (mut findings, mut failures) = (Findings::default(), Vec::new());
    for scenario in wanted {
        display.step(&format!("{}: preparing", scenario.name()));
        match scenario.run(&bench).await {
            Ok(found) => findings.add(found),
            Err(error) => {
                let error = format!("{error:#}");
                display.line(&format!("{} failed: {error}", scenario.name()));
                failures.push(Failure { scenario: scenario.name(), error });
            }
        }
    }
    keep_logs(&bench.stack, &cli.output)?;
    drop(bench);
    drop(display);
    let duration = begin.elapsed();
    let Findings { rows, curves } = findings;
    let report = Report { machine, scale, is_quick: cli.quick, replicas, rows, curves, failures, duration };
    publish(&cli.output, &report)?;
    Ok(report.failures.is_empty())
}

/// Writes a report, draws its plots, and shows it.
fn publish(output: &Path, report: &Report) -> anyhow::Result<()> {
    let text = report.to_string();
    write(&output.join("report.md"), &text)?;
    write(&output.join("report.json"), &serde_json::to_string_pretty(report)?)?;
    plot::draw(output, &report.curves)?;
    println!("{text}");
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The logs of all processes outlive the stack.
fn keep_logs(stack: &Stack, output: &Path) -> anyhow::Result<()> {
    let folder = output.join("logs");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for process in stack.processes() {
        if let Some(name) = process.log().file_name() {
            fs::copy(process.log(), folder.join(name)).context("cannot keep a log")?;
        }
    }
    Ok(())
}
