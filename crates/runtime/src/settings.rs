//! Lists the settings of a program for its documentation, from what clap knows of them.

use std::collections::BTreeMap;
use std::error::Error as _;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};
use serde_json::{Value, json};

/// Values that every value parser refuses, unless it accepts any text.
const INVALID: [&str; 2] = ["-1", ""];

/// Returns one JSON object a line for each setting of the program's commands, in the order of their
/// declaration:
///
/// - `variable` and `flag`: its names;
/// - `commands`: the commands of the program that have it;
/// - `default`: its value if it is not set, `null` where that varies or where it must be set
///   (`required`);
/// - `allowed`: the allowed values in words; `null` for any text;
/// - `text`: what it is, by paragraphs; those after the first say when to change it.
pub fn describe(program: &Command) -> String {
    let mut commands_by_variable: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut settings = Vec::new();
    for command in program.get_subcommands() {
        for setting in command.get_arguments() {
            let Some(variable) = setting.get_env().and_then(|name| name.to_str()) else { continue };
            let commands = commands_by_variable.entry(variable).or_default();
            if commands.is_empty() {
                settings.push((command, setting, variable));
            }
            commands.push(command.get_name());
        }
    }
    let line = |(command, setting, variable): (&Command, &Arg, &str)| {
        let mut line = description(command, setting);
        line["variable"] = variable.into();
        line["commands"] = commands_by_variable[variable].as_slice().into();
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

fn allowed(command: &Command, setting: &Arg) -> Option<String> {
    if matches!(setting.get_action(), ArgAction::SetTrue | ArgAction::SetFalse) {
        return Some("`true` or `false`".to_owned());
    }
    let values = setting.get_possible_values();
    if values.is_empty() {
        return INVALID.iter().find_map(|invalid| refusal(command, setting, invalid));
    }
    let values: Vec<_> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
    Some(values.join(" or "))
}

/// Returns what follows `must be` in the error of the setting's value parser, `None` if the parser
/// accepts the value.
fn refusal(command: &Command, setting: &Arg, value: &str) -> Option<String> {
    let flag = format!("--{}={value}", setting.get_long()?);
    let error = command.clone().try_get_matches_from([command.get_name(), &flag]).err()?;
    if error.kind() != ErrorKind::ValueValidation {
        return None;
    }
    let reason = error.source()?.to_string();
    Some(reason.strip_prefix("must be ").unwrap_or(&reason).to_owned())
}
