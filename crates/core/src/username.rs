//! The rules of usernames and the form in which they are compared.

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_security::MixedScript;

use crate::Violation;

/// A name that a user can have: 3 to 50 characters, each a Unicode letter or decimal digit, the
/// letters of a single script ([UTS 39, section
/// 5.1](https://www.unicode.org/reports/tr39/#Single_Script)). Kept and shown as registered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Username(String);

impl Username {
    const MIN_CHARACTERS: usize = 3;
    const MAX_CHARACTERS: usize = 50;

    /// Checks the rules on the text as sent: nothing is composed or trimmed first.
    pub fn parse(text: String) -> Result<Self, Violation> {
        let characters = text.chars().count();
        if characters < Self::MIN_CHARACTERS {
            return Err(Violation::TooShort { min: Self::MIN_CHARACTERS });
        }
        if characters > Self::MAX_CHARACTERS {
            return Err(Violation::TooLong { max: Self::MAX_CHARACTERS, unit: "characters" });
        }
        if !text.chars().all(|c| is_letter(c) || is_decimal_digit(c)) {
            return Err(Violation::Other("Username must contain only alphanumeric characters"));
        }
        let letters: String = text.chars().filter(|&c| is_letter(c)).collect();
        if !letters.as_str().is_single_script() {
            return Err(Violation::Other(
                "Username must contain only alphanumeric characters of a single script",
            ));
        }
        Ok(Self(text))
    }

    /// The name as registered or asked for.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which names are compared: two names are the same when this is. NFKC with full
    /// case folding, repeated as the compatibility caseless match of the Unicode Standard
    /// (definition D146) does.
    pub fn folded(&self) -> String {
        let once: String =
            caseless::default_case_fold_str(&self.0.nfkd().collect::<String>()).nfkd().collect();
        caseless::default_case_fold_str(&once).nfkc().collect()
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_letter(c: char) -> bool {
    matches!(
        c.general_category(),
        GeneralCategory::UppercaseLetter
            | GeneralCategory::LowercaseLetter
            | GeneralCategory::TitlecaseLetter
            | GeneralCategory::ModifierLetter
            | GeneralCategory::OtherLetter
    )
}

fn is_decimal_digit(c: char) -> bool {
    c.general_category() == GeneralCategory::DecimalNumber
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_accepted(name: &str) -> bool {
        Username::parse(name.to_owned()).is_ok()
    }

    fn folded(name: &str) -> String {
        Username::parse(name.to_owned()).unwrap().folded()
    }

    #[test]
    fn letters_and_digits_of_one_script_are_accepted() {
        for name in [
            "abc",
            "Ann4",
            "123",
            "Jürgen",
            "Ивана",
            "日本語かな",
            "한국어",
            "عمر٣",
            "abc٣",
            "Ωμέγα",
        ] {
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
}
