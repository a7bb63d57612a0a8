//! `devstack settings`.

use super::*;

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
