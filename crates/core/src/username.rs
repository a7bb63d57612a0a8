//! The rules of usernames, and the form in which they are compared.

use std::fmt;

use icu_properties::props::{BinaryProperty, DefaultIgnorableCodePoint};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_security::MixedScript;

use crate::Violation;

/// The name of a user: 3 to 50 characters, each a Unicode letter or decimal digit that is seen, the
/// letters of a single script ([UTS 39, section
/// 5.1](https://www.unicode.org/reports/tr39/#Single_Script)). Stored and displayed as registered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Username(String);

impl Username {
    const MIN_CHARACTERS: usize = 3;
    const MAX_CHARACTERS: usize = 50;

    /// Checks the rules on the text as sent. Nothing is composed or trimmed first.
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
        if text.chars().any(is_invisible) {
            return Err(Violation::Other(
                "Username must contain only alphanumeric characters that are seen",
            ));
        }
        let letters: String = text.chars().filter(|&c| is_letter(c)).collect();
        if !letters.as_str().is_single_script() {
            return Err(Violation::Other(
                "Username must contain only alphanumeric characters of a single script",
            ));
        }
        Ok(Self(text))
    }

    /// Makes a name of any text: composes characters (NFC), drops those that no name may have, and
    /// cuts the rest off where it is too long. `None` if what is left breaks the rules.
    pub fn fit(text: &str) -> Option<Self> {
        let is_allowed = |&c: &char| (is_letter(c) || is_decimal_digit(c)) && !is_invisible(c);
        let kept = text.nfc().filter(is_allowed).take(Self::MAX_CHARACTERS).collect();
        Self::parse(kept).ok()
    }

    /// Returns the name with a number behind it. The end of a long name makes room for it.
    #[must_use]
    pub fn with_number(&self, number: u32) -> Self {
        let number = number.to_string();
        let kept = self.0.chars().take(Self::MAX_CHARACTERS - number.len());
        Self(kept.chain(number.chars()).collect())
    }

    /// Returns the name as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the form in which names are compared: NFKC with full case folding, repeated as the
    /// compatibility caseless match of the Unicode Standard (definition D146) does.
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

/// True for characters that are displayed as nothing (Default_Ignorable_Code_Point of the Unicode
/// Standard, section 5.21). Among letters these are the fillers of Hangul: with them, names that
/// look alike could be different names, or none at all.
fn is_invisible(c: char) -> bool {
    DefaultIgnorableCodePoint::for_char(c)
}

fn is_decimal_digit(c: char) -> bool {
    c.general_category() == GeneralCategory::DecimalNumber
}
