//! A run: starts the stacks, runs the scenarios one after the other, and publishes the report.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use clap::ValueEnum;
use parlance_devstack::Progress;
use parlance_devstack::{Process, Stack};

use crate::bench::Bench;
use crate::machine::{Cores, Machine};
use crate::report::{Failure, Findings, Report};
use crate::scale::Scale;
use crate::scenario::{PasswordCost, Scenario};
use crate::scenarios;

/// What the scenarios have measured so far.
#[derive(Default)]
struct Results {
    /// As the first stack found it.
    machine: Option<Machine>,
    findings: Findings,
    failures: Vec<Failure>,
}

/// Runs these scenarios, or all if there are none. Returns true if every scenario could be
/// measured, whether or not its goals are met.
pub(crate) async fn run(
    scenarios: &[Scenario],
    is_quick: bool,
    replicas: u8,
    output: &Path,
) -> anyhow::Result<bool> {
    let begin = Instant::now();
    let progress = Progress::new();
    let scale = if is_quick { Scale::QUICK } else { Scale::FULL };
    let mut results = Results::default();
    for cost in [PasswordCost::Minimal, PasswordCost::Default] {
        let is_wanted = |it: &Scenario| match scenarios {
            [] => *it != Scenario::Growth,
            named => named.contains(it),
        };
        let all = Scenario::value_variants().iter().copied();
        let of_stack = all.filter(|it| it.password_cost() == cost);
        let wanted: Vec<Scenario> = of_stack.filter(is_wanted).collect();
        if !wanted.is_empty() {
            progress.step("starting Parlance");
            let bench = Bench::start(cost, replicas.into(), scale, &progress).await;
            let bench = bench.context("cannot start Parlance")?;
            results.add_scenarios(&wanted, &bench).await;
            bench.stack.keep_logs(&output.join("logs").join(cost.folder()))?;
        }
    }
    drop(progress);
    let Results { machine, findings: Findings { rows, curves }, failures } = results;
    let machine = machine.context("there is no scenario to run")?;
    let duration = begin.elapsed();
    let report = Report { machine, scale, is_quick, replicas, rows, curves, failures, duration };
    publish(output, &report)?;
    Ok(report.failures.is_empty())
}

impl Results {
    /// Runs scenarios on a stack. The others also run if one fails.
    async fn add_scenarios(&mut self, scenarios: &[Scenario], bench: &Bench<'_>) {
        if self.machine.is_none() {
            self.machine = Some(Machine::describe(&bench.stack).await);
        }
        for scenario in scenarios {
            bench.progress.step(&format!("{}: preparing", scenario.name()));
            let before = Cores::now();
            match scenarios::run(*scenario, bench).await {
                Ok(mut findings) => {
                    let stolen =
                        before.zip(Cores::now()).map(|(before, now)| now.stolen_since(before));
                    findings.rows.iter_mut().for_each(|row| row.stolen = stolen);
                    for row in &findings.rows {
                        bench.progress.line(&format!("{}: {}", row.scenario, row.summary()));
                    }
                    self.findings.extend(findings);
                }
                Err(error) => {
                    let error = format!("{error:#}{}", exited_processes(&bench.stack));
                    bench.progress.line(&format!("{} failed: {error}", scenario.name()));
                    self.failures.push(Failure { scenario: scenario.name(), error });
                }
            }
        }
    }
}

/// Returns the processes that have exited, to be appended to a sentence.
fn exited_processes(stack: &Stack) -> String {
    let sentence = |process: &Process| {
        Some(format!("; {} has exited ({})", process.name(), process.exit_status()?))
    };
    stack.processes().filter_map(sentence).collect()
}

/// Writes the report and its plots, and prints it.
fn publish(output: &Path, report: &Report) -> anyhow::Result<()> {
    let text = report.to_string();
    write(&output.join("report.md"), &text)?;
    write(&output.join("report.json"), &serde_json::to_string_pretty(report)?)?;
    report.curves.iter().try_for_each(|curve| curve.draw(output))?;
    println!("{text}");
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
