//! `devstack settings`: writes the settings of all programs into `docs/configuration.md`.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use crate::stack::{GATEWAY, SERVICES, program};

const PAGE: &str = "docs/configuration.md";
/// The page is written by hand above this line and generated below it.
const MARK: &str = "<!-- What follows is written by `make settings`. -->\n";
const TIMEOUT: Duration = Duration::from_secs(10);

/// The options of `devstack settings`.
#[derive(Args, Debug)]
pub struct Options {
    /// Changes nothing, and fails if the page is out of date.
    #[arg(long)]
    check: bool,
}

/// A line of the output of `<program> settings`.
#[derive(Deserialize)]
struct Setting {
    variable: String,
    flag: String,
    commands: Vec<String>,
    default: Option<String>,
    required: bool,
    allowed: Option<String>,
    text: Vec<String>,
}

/// A program and the rows of its table, in the order in which the settings are declared.
type Program = (&'static str, Vec<String>);

/// Writes or checks the page. Runs in the folder of the project, with all programs built.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let mut programs = Vec::new();
    for name in [GATEWAY].into_iter().chain(SERVICES) {
        let rows = rows(name).await;
        programs.push((name, rows.with_context(|| format!("cannot list the settings of {name}"))?));
    }
    let generated = tables(&programs);

    let page = fs::read_to_string(PAGE).with_context(|| format!("cannot read {PAGE}"))?;
    let (by_hand, current) =
        page.split_once(MARK).with_context(|| format!("{PAGE} lacks `{MARK}`"))?;
    if options.check {
        ensure!(current == generated, "{PAGE} is out of date: run `make settings`");
    } else {
        fs::write(PAGE, format!("{by_hand}{MARK}{generated}"))
            .with_context(|| format!("cannot write {PAGE}"))?;
    }
    println!("{PAGE}: {} settings", generated.matches("\n| `").count());
    Ok(())
}

async fn rows(name: &str) -> anyhow::Result<Vec<String>> {
    let mut command = Command::new(program(name)?);
    command.arg("settings").env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(TIMEOUT, command.output()).await.context("no answer")??;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout)?;
    lines.lines().map(|line| Ok(row(&serde_json::from_str(line)?))).collect()
}

fn row(setting: &Setting) -> String {
    let Setting { variable, flag, commands, default, required, allowed, text } = setting;
    let only = match commands.as_slice() {
        [command] if command != "serve" => format!("<br>only `{command}`"),
        _ => String::new(),
    };
    let default = match default.as_deref() {
        Some("") => "empty".to_owned(),
        Some(default) => format!("`{default}`"),
        None if *required => "must be set".to_owned(),
        None => String::new(),
    };
    let allowed = allowed.as_deref().unwrap_or("any text");
    let cells =
        [format!("`{variable}`<br>`{flag}`{only}"), default, allowed.to_owned(), text.join("<br>")];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

/// A table of the rows that all programs share, one of the rows that all services share, and one
/// with the other rows of each program.
fn tables(programs: &[Program]) -> String {
    let owner = |row: &String, program| {
        let owners = programs.iter().filter(|(_, rows)| rows.contains(row));
        let owners: Vec<&str> = owners.map(|(name, _)| *name).collect();
        match owners.len() {
            count if count == programs.len() => "Every program",
            _ if owners == SERVICES => "Every service",
            _ => program,
        }
    };
    let table = |title: &str, (program, rows): &Program| {
        let rows: String =
            rows.iter().filter(|row| owner(row, program) == title).cloned().collect();
        let head = "| setting | default | allowed | |\n| --- | --- | --- | --- |";
        if rows.is_empty() { rows } else { format!("\n## {title}\n\n{head}\n{rows}") }
    };
    let service = &programs[1];
    let shared = [table("Every program", service), table("Every service", service)];
    shared.into_iter().chain(programs.iter().map(|program| table(program.0, program))).collect()
}

#[cfg(test)]
#[path = "tests/settings.rs"]
mod tests;
