//! The rules of what users show of themselves.

use parlance_core::{AvatarUrl, DisplayName, Violation};

fn name(text: &str) -> Result<DisplayName, Violation> {
    DisplayName::parse(text.to_owned())
}

fn url(text: &str) -> Result<AvatarUrl, Violation> {
    AvatarUrl::parse(text.to_owned())
}

#[test]
fn a_name_with_a_visible_character_is_kept_as_sent() {
    let longest = "ä".repeat(64);
    for text in ["Ann", " Ann ", "安", "👩‍👧", ".", "<b>'\"\\</b>", "a\u{200b}", "e\u{301}", &longest]
    {
        assert_eq!(name(text).unwrap().as_str(), text);
    }
}

#[test]
fn a_name_is_as_long_as_its_characters() {
    assert_eq!(name(""), Err(Violation::TooShort { min: 1 }));
    let too_long = Violation::TooLong { max: 64, unit: "characters" };
    assert_eq!(name(&"x".repeat(65)), Err(too_long));
}

#[test]
fn a_name_without_a_visible_character_is_refused() {
    for text in [
        "  ",
        "\u{a0}\u{3000}",
        "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}",
        "\u{ad}",
        "\u{3164}",
        "\u{115f}\u{1160}\u{ffa0}",
        "\u{2800}",
        "\u{2800} \u{2800}",
        "\u{1d159}",
        "\u{13441}\u{13442}",
        "\u{202e}",
        "\u{e0041}\u{e007f}",
        "\u{fe0f}",
        "\u{301}",
        " \u{301}\u{20dd}",
        "\u{903}",
        "\u{2028}",
        "\u{fff9}",
        "\u{e000}",
        "\u{ffff}",
    ] {
        assert!(name(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_name_with_a_control_character_is_refused() {
    for control in ('\0'..='\u{1f}').chain('\u{7f}'..='\u{9f}') {
        assert!(name(&format!("a{control}b")).is_err(), "{control:?}");
    }
}

#[test]
fn an_avatar_is_an_https_url_and_kept_as_sent() {
    let longest = format!("https://example.org/{}", "x".repeat(492));
    for text in [
        "https://example.org",
        "https://example.org/a.png?x=1&y=(2)#z",
        "HTTPS://Example.ORG:8443/%20?q",
        "https://[::1]:8/?q#f",
        "https://192.0.2.1/",
        "https://user@example.org/@:",
        "https://example.org//x",
        "https://example.org/it's/ä/猫.png",
        "https://münchen.example/",
        &longest,
    ] {
        assert_eq!(url(text).unwrap().as_str(), text);
    }
}

#[test]
fn an_avatar_of_another_scheme_or_without_a_host_is_refused() {
    for text in [
        "x",
        "/a.png",
        "//example.org",
        "http://example.org",
        "javascript:alert(1)",
        "https",
        "https:",
        "https:example.org",
        "https:/example.org",
        "https://",
        "https:///x",
        "https:////x",
        "https://?x",
        "https://#x",
        "https://@/",
        "https://@",
        "https://user@/x",
        "https://user@:80/x",
        "https://:80",
        "https://:443/",
        "https://[::1/",
        "https://example.org:99999/",
        "https:\\\\example.org",
        "httpsä//example.org",
    ] {
        assert!(url(text).is_err(), "{text:?}");
    }
}

#[test]
fn an_avatar_has_no_white_space_and_nothing_that_surrounds_urls() {
    let inside = |c: char| format!("https://example.org/{c}x");
    let refused = ('\0'..=' ').chain("\"`<>\\\u{7f}\u{80}\u{a0}\u{200b}\u{3000}".chars());
    for character in refused {
        assert!(url(&inside(character)).is_err(), "{character:?}");
    }
    for text in [" https://example.org", "https://example.org\n", "https://ex\tample.org"] {
        assert!(url(text).is_err(), "{text:?}");
    }
}

#[test]
fn an_avatar_is_as_long_as_its_characters() {
    assert_eq!(url(""), Err(Violation::TooShort { min: 1 }));
    let too_long = format!("https://example.org/{}", "x".repeat(493));
    assert_eq!(url(&too_long), Err(Violation::TooLong { max: 512, unit: "characters" }));
}
