//! The tables of `docs/configuration.md` are what the programs say about their settings.

use std::env;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use parlance_devstack::program;
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
/// The page is written by hand above this line and generated below it.
const MARK: &str = "<!-- What follows is written by `make settings`. -->\n";
const TIMEOUT: Duration = Duration::from_secs(10);
const GATEWAY: &str = "gateway";
const SERVICES: [&str; 4] = ["auth", "contacts", "rooms", "messaging"];

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

/// Rewrites the page if the environment has `UPDATE_DOCS`.
#[tokio::test]
async fn the_page_of_settings_is_current() {
    let mut programs = Vec::new();
    for name in [GATEWAY].into_iter().chain(SERVICES) {
        programs.push((name, rows(name).await.unwrap()));
    }
    let generated = tables(&programs);
    let page = fs::read_to_string(PAGE).unwrap();
    let (by_hand, current) = page.split_once(MARK).unwrap();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(PAGE, format!("{by_hand}{MARK}{generated}")).unwrap();
    } else {
        assert!(current == generated, "docs/configuration.md is out of date: run `make settings`");
    }
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

#[test]
fn a_setting_is_listed_once_with_the_programs_that_have_it() {
    let rows = |own: &str, shared: &[&str]| {
        let rows = shared.iter().copied().chain([own]);
        rows.map(|name| format!("| `{name}` |\n")).collect()
    };
    let service = |service| (service, rows(service, &["A", "B"]));
    let programs: Vec<Program> = [(GATEWAY, rows("B, with other words", &["A"]))]
        .into_iter()
        .chain(SERVICES.map(service))
        .collect();
    let tables = tables(&programs);
    let lines = tables.lines().filter(|line| line.starts_with("## ") || line.starts_with("| `"));
    let mut expected = vec!["## Every program", "| `A` |", "## Every service", "| `B` |"];
    expected.extend(["## gateway", "| `B, with other words` |", "## auth", "| `auth` |"]);
    expected.extend(["## contacts", "| `contacts` |", "## rooms", "| `rooms` |"]);
    expected.extend(["## messaging", "| `messaging` |"]);
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

#[test]
fn a_setting_of_another_command_than_serve_names_it() {
    let line = r#"{"variable": "X", "flag": "--x", "commands": ["rotate-keys"], "default": "7",
        "required": false, "allowed": null, "text": ["One.", "Two | three."]}"#;
    let expected =
        "| `X`<br>`--x`<br>only `rotate-keys` | `7` | any text | One.<br>Two \\| three. |\n";
    assert_eq!(row(&serde_json::from_str(line).unwrap()), expected);
}
