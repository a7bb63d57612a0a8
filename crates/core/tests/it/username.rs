//! The rules of usernames.

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
        &fifty_one,
    ] {
        assert!(!is_accepted(name), "{name:?}");
    }
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
