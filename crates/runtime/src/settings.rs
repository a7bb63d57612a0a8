//! What a program can be told, for its documentation: read from what clap knows, so that it is
//! never another thing than what holds.

use std::collections::BTreeMap;
use std::error::Error as _;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};
use serde_json::{Value, json};

/// Not a value of any setting that takes only some.
const WRONG: [&str; 2] = ["-1", ""];

/// One JSON object a line for each setting of any of the program's commands, in the order in which
/// they are declared:
///
/// - `variable` and `flag`: its names;
/// - `commands`: which of the program's commands have it;
/// - `default`: what holds without it, `null` where that is not always the same or where it must be
///   set (`required`);
/// - `allowed`: in words, from what the program answers to anything else; `null` if it takes any
///   text;
/// - `text`: what it is, by paragraphs; what follows the first says when to change it.
pub fn describe(program: &Command) -> String {
    let mut commands_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut settings = Vec::new();
    for command in program.get_subcommands() {
        for setting in command.get_arguments() {
            let Some(variable) = setting.get_env().and_then(|name| name.to_str()) else { continue };
            let commands = commands_of.entry(variable).or_default();
            if commands.is_empty() {
                settings.push((command, setting, variable));
            }
            commands.push(command.get_name());
        }
    }
    let line = |(command, setting, variable): (&Command, &Arg, &str)| {
        let mut line = description(command, setting);
        line["variable"] = variable.into();
        line["commands"] = commands_of[variable].as_slice().into();
        format!("{line}\n")
    };
    settings.into_iter().map(line).collect()
}

fn description(command: &Command, setting: &Arg) -> Value {
    let text =
        setting.get_long_help().or(setting.get_help()).map(ToString::to_string).unwrap_or_default();
    let paragraphs: Vec<String> = text
        .split("\n\n")
        .map(|paragraph| format!("{}.", paragraph.trim_end_matches('.')))
        .collect();
    json!({
        "flag": setting.get_long().map(|name| format!("--{name}")),
        "default": default(setting),
        "required": setting.is_required_set(),
        "allowed": allowed(command, setting),
        "text": paragraphs,
    })
}

fn default(setting: &Arg) -> Option<String> {
    let values = setting.get_default_values();
    if values.is_empty() || setting.is_hide_default_value_set() {
        return None;
    }
    Some(values.iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(","))
}

/// What may stand in the setting's place; `None` for anything.
fn allowed(command: &Command, setting: &Arg) -> Option<String> {
    if matches!(setting.get_action(), ArgAction::SetTrue | ArgAction::SetFalse) {
        return Some("`true` or `false`".to_owned());
    }
    let values: Vec<String> = setting
        .get_possible_values()
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !values.is_empty() {
        return Some(values.join(" or "));
    }
    WRONG.iter().find_map(|wrong| refusal(command, setting, wrong))
}

/// What the program says is wanted when it is told something wrong; `None` if it takes that.
fn refusal(command: &Command, setting: &Arg, wrong: &str) -> Option<String> {
    let flag = format!("--{}={wrong}", setting.get_long()?);
    let error = command.clone().try_get_matches_from([command.get_name(), &flag]).err()?;
    if error.kind() != ErrorKind::ValueValidation {
        return None;
    }
    let said = error.source()?.to_string();
    if said == "invalid socket address syntax" {
        return Some("an address with a port".to_owned());
    }
    let refused = [format!("{wrong} is not in "), format!("`{wrong}` is not ")];
    let wanted = refused.iter().find_map(|start| said.strip_prefix(start)).unwrap_or(&said);
    Some(
        in_words(wanted)
            .unwrap_or_else(|| wanted.replace(" is wanted", "").replace(" are wanted", "")),
    )
}

/// A range as clap writes it, `4..=31`.
fn in_words(range: &str) -> Option<String> {
    let (least, most) = range.split_once("..=")?;
    let is_any = most.parse() == Ok(u32::MAX) || most.parse() == Ok(i64::MAX);
    Some(if is_any { format!("{least} or more") } else { format!("{least} to {most}") })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::config::{LogConfig, PostgresConfig, seconds};

    #[derive(Parser)]
    enum Program {
        Serve {
            #[command(flatten)]
            log: LogConfig,
            #[command(flatten)]
            postgres: PostgresConfig,
            /// How often.
            ///
            /// Not too often.
            #[arg(long, env = "INTERVAL", hide_default_value = true, default_value = "7", value_parser = seconds)]
            interval: std::time::Duration,
        },
        Migrate {
            #[arg(long)]
            status: bool,
            #[command(flatten)]
            postgres: PostgresConfig,
        },
    }

    fn described() -> BTreeMap<String, Value> {
        let text = describe(&Program::command());
        let settings = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        settings
            .map(|setting| (setting["variable"].as_str().unwrap().to_owned(), setting))
            .collect()
    }

    #[test]
    fn every_setting_is_described_once_and_nothing_else() {
        assert_eq!(describe(&Program::command()).lines().count(), 5);
        let settings = described();
        let variables: Vec<&str> = settings.keys().map(String::as_str).collect();
        assert_eq!(
            variables,
            ["DATABASE_MAX_CONNECTIONS", "DATABASE_URL", "INTERVAL", "LOG_FILTER", "LOG_FORMAT"]
        );
        assert_eq!(settings["DATABASE_URL"]["commands"], json!(["serve", "migrate"]));
        assert_eq!(settings["DATABASE_URL"]["required"], true);
        assert_eq!(
            settings["INTERVAL"],
            json!({
                "variable": "INTERVAL",
                "flag": "--interval",
                "commands": ["serve"],
                "default": null,
                "required": false,
                "allowed": "a number of seconds above 0, such as 20 or 0.5",
                "text": ["How often.", "Not too often."],
            })
        );
    }

    #[test]
    fn what_is_allowed_is_what_the_program_asks_for() {
        let settings = described();
        let allowed = |variable: &str| settings[variable]["allowed"].clone();
        assert_eq!(allowed("LOG_FORMAT"), "`text` or `json`");
        assert_eq!(allowed("LOG_FILTER"), Value::Null);
        assert_eq!(allowed("DATABASE_MAX_CONNECTIONS"), "1 to 1000");
        assert_eq!(
            allowed("DATABASE_URL"),
            "a URL, such as postgres://host/database or redis://host"
        );
    }
}
