//! `devstack settings`: writes what the programs say of their settings into
//! `docs/configuration.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use crate::stack::{GATEWAY, SERVICES, folder_of_programs};

const PAGE: &str = "docs/configuration.md";
/// What is above this line is written by hand.
const MARK: &str = "<!-- What follows is written by `make settings`. -->\n";
const DEADLINE: Duration = Duration::from_secs(10);

/// What `devstack settings` can be told.
#[derive(Args, Debug)]
pub struct Options {
    /// Changes nothing, and fails if something would have to change.
    #[arg(long)]
    check: bool,
}

/// A setting as a program's command `settings` tells it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Setting {
    variable: String,
    flag: String,
    commands: Vec<String>,
    default: Option<String>,
    required: bool,
    allowed: Option<String>,
    text: Vec<String>,
}

/// Programs with their settings, in the order in which these are declared.
type Settings = BTreeMap<&'static str, Vec<Setting>>;

/// Writes or checks the page. To be run in the project's folder, with all programs built.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let settings = ask_all().await?;
    let page = fs::read_to_string(PAGE).with_context(|| format!("cannot read {PAGE}"))?;
    let (by_hand, generated) =
        page.split_once(MARK).with_context(|| format!("{PAGE} lacks `{MARK}`"))?;
    let wanted = tables(settings);
    if options.check {
        ensure!(
            generated == wanted,
            "{PAGE} {}: run `make settings`",
            difference(generated, &wanted)
        );
    } else {
        fs::write(PAGE, format!("{by_hand}{MARK}{wanted}"))
            .with_context(|| format!("cannot write {PAGE}"))?;
    }
    println!("{PAGE}: {} settings", wanted.lines().filter(|line| line.starts_with("| `")).count());
    Ok(())
}

async fn ask_all() -> anyhow::Result<Settings> {
    let folder = folder_of_programs()?;
    let mut settings = Settings::new();
    for program in SERVICES.into_iter().chain([GATEWAY]) {
        let answer = ask(&folder.join(program)).await;
        settings.insert(
            program,
            answer.with_context(|| format!("cannot ask {program} for its settings"))?,
        );
    }
    Ok(settings)
}

async fn ask(program: &Path) -> anyhow::Result<Vec<Setting>> {
    let mut command = Command::new(program);
    command.arg("settings").env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(DEADLINE, command.output()).await.context("it does not answer")??;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout)?;
    Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// A table of what all programs have in common, one of what all services have, and one for each
/// program of what is left.
fn tables(mut settings: Settings) -> String {
    let everywhere: Vec<&str> = settings.keys().copied().collect();
    let tables = [
        ("Every program", take_common(&mut settings, &everywhere)),
        ("Every service", take_common(&mut settings, &SERVICES)),
    ];
    let rest = [GATEWAY].into_iter().chain(SERVICES);
    let of_programs = rest.map(|program| (program, settings.remove(program).unwrap_or_default()));
    let tables = tables.into_iter().chain(of_programs).filter(|(_, settings)| !settings.is_empty());
    tables.map(|(title, settings)| table(title, &settings)).collect()
}

/// Takes out what all of the programs have, with the same words.
fn take_common(settings: &mut Settings, programs: &[&'static str]) -> Vec<Setting> {
    let all_have = |one: &Setting| {
        programs.iter().all(|program| settings[program].iter().any(|setting| is_same(setting, one)))
    };
    let common: Vec<Setting> =
        settings[programs[0]].iter().filter(|one| all_have(one)).cloned().collect();
    for program in programs {
        let left = |setting: &Setting| !common.iter().any(|one| is_same(one, setting));
        settings.entry(program).or_default().retain(left);
    }
    common
}

/// Whether the two are one setting of two programs, whichever other commands these have.
fn is_same(one: &Setting, other: &Setting) -> bool {
    let commands = other.commands.clone();
    Setting { commands, ..one.clone() } == *other
}

fn table(title: &str, settings: &[Setting]) -> String {
    let rows: String = settings.iter().map(row).collect();
    format!("\n## {title}\n\n| setting | default | allowed | |\n| --- | --- | --- | --- |\n{rows}")
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

/// The first line that has to change.
fn difference(found: &str, wanted: &str) -> String {
    let wrong = found.lines().find(|line| !wanted.lines().any(|other| other == *line));
    let missing = wanted.lines().find(|line| !found.lines().any(|other| other == *line));
    match (wrong, missing) {
        (_, Some(missing)) => format!("lacks the line `{missing}`"),
        (Some(wrong), None) => format!("has the line `{wrong}`, which no program knows"),
        (None, None) => "has its lines in another order".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(variable: &str, commands: &[&str]) -> Setting {
        Setting {
            variable: variable.to_owned(),
            flag: format!("--{}", variable.to_lowercase()),
            commands: commands.iter().map(|&command| command.to_owned()).collect(),
            default: Some("7".to_owned()),
            required: false,
            allowed: None,
            text: vec!["What.".to_owned()],
        }
    }

    /// The gateway has A; the services have A, B, and one of their own each, which for auth is of
    /// another command.
    fn settings() -> Settings {
        let of_service = |service: &'static str| {
            let own = if service == "auth" { "rotate-keys" } else { "serve" };
            let settings = vec![
                setting("A", &["serve"]),
                setting("B", &["serve", own]),
                setting(service, &[own]),
            ];
            (service, settings)
        };
        SERVICES
            .into_iter()
            .map(of_service)
            .chain([(GATEWAY, vec![setting("A", &["serve"])])])
            .collect()
    }

    #[test]
    fn each_setting_stands_once_with_those_who_have_it() {
        let tables = tables(settings());
        let lines =
            tables.lines().filter(|line| line.starts_with("## ") || line.starts_with("| `"));
        let lines: Vec<&str> = lines.map(|line| line.split("<br>`--").next().unwrap()).collect();
        let of_services = ["auth", "contacts", "rooms", "messaging"];
        let headings = of_services.map(|service| format!("## {service}"));
        let rows = of_services.map(|service| format!("| `{service}`"));
        let mut expected = vec!["## Every program", "| `A`", "## Every service", "| `B`"];
        expected
            .extend(headings.iter().zip(&rows).flat_map(|(heading, row)| [heading.as_str(), row]));
        assert_eq!(lines, expected);
        assert!(
            tables
                .contains("| `auth`<br>`--auth`<br>only `rotate-keys` | `7` | any text | What. |")
        );
    }

    #[test]
    fn settings_of_one_name_and_different_words_stand_with_each_program() {
        let mut settings = settings();
        settings.get_mut(GATEWAY).unwrap()[0].text = vec!["Another.".to_owned()];
        let tables = tables(settings);
        assert!(!tables.contains("## Every program"));
        assert_eq!(tables.matches("| `A`").count(), 2, "of the gateway, and of every service");
    }
}
