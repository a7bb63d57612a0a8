//! The benchmark: starts a private Parlance, drives it where its users feel it, runs a yardstick
//! beside each scenario, and prints one table. What is measured is what the programs of its own
//! build do: use the profile `dist`.

mod api;
mod files;
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
use parlance_devstack::{Process, Stack};

use crate::machine::{Cores, Machine};
use crate::progress::Display;
use crate::report::{Failure, Findings, Report};
use crate::scale::Scale;
use crate::scenarios::{Bench, Passwords, Scenario};
use crate::yardsticks::{broadcast, routes};

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
    /// Everything only once and not for long, to see that all of it works.
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
    #[command(name = routes::COMMAND, hide = true)]
    Routes,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    files::allow_most();
    let outcome = match cli.yardstick {
        Some(Yardstick::Broadcast) => broadcast::serve().await.map(|()| true),
        Some(Yardstick::Routes) => routes::serve().await.map(|()| true),
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

/// Whether every scenario could be carried out; whether goals are met is for the reader of the
/// table.
async fn measure(cli: Cli) -> anyhow::Result<bool> {
    let begin = Instant::now();
    let display = Display::new();
    let scale = if cli.quick { Scale::QUICK } else { Scale::FULL };
    let mut outcome = Outcome::default();
    for passwords in [Passwords::Cheap, Passwords::Default] {
        let is_wanted = |it: &Scenario| cli.scenario.is_empty() || cli.scenario.contains(it);
        let mut scenarios = Scenario::ALL.into_iter().filter(is_wanted).collect::<Vec<_>>();
        scenarios.retain(|it| it.passwords() == passwords);
        if !scenarios.is_empty() {
            display.step("starting Parlance");
            let bench = Bench::start(passwords, cli.replicas.into(), scale, &display).await;
            let bench = bench.context("cannot start Parlance")?;
            outcome.run(&scenarios, &bench).await;
            bench.stack.keep_logs(&cli.output.join("logs").join(passwords.name()))?;
        }
    }
    drop(display);
    let Outcome { machine, findings: Findings { rows, curves }, failures } = outcome;
    let machine = machine.context("there is nothing to measure")?;
    let (replicas, duration) = (cli.replicas, begin.elapsed());
    let report =
        Report { machine, scale, is_quick: cli.quick, replicas, rows, curves, failures, duration };
    publish(&cli.output, &report)?;
    Ok(report.failures.is_empty())
}

/// What the scenarios came to.
#[derive(Default)]
struct Outcome {
    /// As the first stack found it.
    machine: Option<Machine>,
    findings: Findings,
    failures: Vec<Failure>,
}

impl Outcome {
    /// Runs scenarios on a stack. One that fails does not keep the next one from being tried.
    async fn run(&mut self, scenarios: &[Scenario], bench: &Bench<'_>) {
        if self.machine.is_none() {
            self.machine = Some(Machine::look(&bench.stack).await);
        }
        for scenario in scenarios {
            bench.display.step(&format!("{}: preparing", scenario.name()));
            let before = Cores::now();
            match scenario.run(bench).await {
                Ok(mut findings) => {
                    let stolen =
                        before.zip(Cores::now()).map(|(before, now)| now.stolen_since(before));
                    findings.rows.iter_mut().for_each(|row| row.stolen = stolen);
                    for row in &findings.rows {
                        bench.display.line(&format!("{}: {}", row.scenario, row.summary()));
                    }
                    self.findings.add(findings);
                }
                Err(error) => {
                    let error = format!("{error:#}{}", ended(&bench.stack));
                    bench.display.line(&format!("{} failed: {error}", scenario.name()));
                    self.failures.push(Failure { scenario: scenario.name(), error });
                }
            }
        }
    }
}

/// The processes that have ended by themselves, to be appended to a sentence.
fn ended(stack: &Stack) -> String {
    let sentence = |process: &Process| {
        Some(format!("; {} has ended ({})", process.name(), process.exit_status()?))
    };
    stack.processes().filter_map(sentence).collect()
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
