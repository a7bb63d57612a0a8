//! The rules of usernames.

use std::ops::RangeInclusive;

use parlance_core::Username;

fn is_accepted(name: &str) -> bool {
    Username::parse(name.to_owned()).is_ok()
}

fn folded(name: &str) -> String {
    Username::parse(name.to_owned()).unwrap().folded()
}

#[test]
fn letters_and_digits_of_one_script_are_accepted() {
    for name in
        ["abc", "Ann4", "123", "Jürgen", "Ивана", "日本語かな", "한국어", "عمر٣", "abc٣", "Ωμέγα"]
    {
        assert!(is_accepted(name), "{name}");
    }
}

#[test]
fn anything_else_is_refused() {
    let fifty_one = "a".repeat(51);
    for name in [
        "ab",
        "a b",
        "a_b",
        "ab\0",
        "abc😀",
        "Jurgen\u{308}",
        "p\u{430}ypal",
        "a\u{200b}bc",
        "한\u{115f}국어",
        "한국어\u{1160}",
        "\u{3164}\u{3164}\u{3164}",
        "\u{ffa0}한국어",
        &fifty_one,
    ] {
        assert!(!is_accepted(name), "{name:?}");
    }
}

/// DerivedCoreProperties.txt of Unicode 17.0, section Default_Ignorable_Code_Point.
const INVISIBLE: [RangeInclusive<char>; 17] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fff8}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

#[test]
fn no_character_that_is_not_seen_is_accepted() {
    for invisible in INVISIBLE.into_iter().flatten() {
        for name in [format!("abc{invisible}"), format!("{invisible}한국어")] {
            let refused = Username::parse(name).unwrap_err().to_string();
            let rule = "Username must contain only alphanumeric characters";
            assert!(refused.starts_with(rule), "{invisible:?}: {refused}");
        }
        assert!(!is_accepted(&invisible.to_string().repeat(3)), "{invisible:?}");
    }
}

#[test]
fn every_accepted_character_is_seen_as_sent_and_as_compared() {
    let is_invisible = |c: char| INVISIBLE.iter().any(|range| range.contains(&c));
    let mut accepted = 0;
    for character in '\0'..=char::MAX {
        let Ok(name) = Username::parse(character.to_string().repeat(3)) else { continue };
        accepted += 1;
        assert!(!is_invisible(character), "{character:?}");
        let folded = name.folded();
        assert!(!folded.is_empty() && !folded.chars().any(is_invisible), "{character:?}");
    }
    assert!(accepted > 100_000, "{accepted}");
}

#[test]
fn length_is_counted_in_characters() {
    assert!(is_accepted(&"ä".repeat(50)));
    assert!(is_accepted("äöü"));
}

#[test]
fn names_are_compared_without_case_and_width() {
    assert_eq!(folded("Straße"), folded("STRASSE"));
    assert_eq!(folded("ΣΊΣΥΦΟΣ"), folded("σίσυφος"));
    assert_eq!(folded("ａｂｃ"), folded("ABC"));
    assert_ne!(folded("abc"), folded("abd"));
}

#[test]
fn a_text_is_made_to_fit_by_dropping_what_no_name_may_have() {
    let fit = |text: &str| Username::fit(text).map(|name| name.as_str().to_owned());
    let long = "ä".repeat(60);
    for (text, expected) in [
        ("anna", Some("anna")),
        ("Anna.Berg@example.com", Some("AnnaBergexamplecom")),
        ("\u{3164}an\0n\u{200d}a ", Some("anna")),
        ("Ame\u{301}lie", Some("Amélie")),
        ("汪小明", Some("汪小明")),
        (&long, Some(&long[..100])),
        ("an", None),
        ("--", None),
        ("annaбв", None),
    ] {
        assert_eq!(fit(text).as_deref(), expected, "{text:?}");
    }
}

#[test]
fn a_number_behind_a_long_name_takes_the_place_of_its_end() {
    let with = |name: &str, number| {
        let name = Username::parse(name.to_owned()).unwrap().with_number(number);
        Username::parse(name.as_str().to_owned()).unwrap().as_str().to_owned()
    };
    assert_eq!(with("anna", 2), "anna2");
    assert_eq!(with(&"ä".repeat(50), 1234), format!("{}1234", "ä".repeat(46)));
}
