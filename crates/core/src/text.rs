//! The rules of passwords, room names and message contents.

use std::fmt;

/// How a text breaks a rule. The gateway turns it into an entry of a 422 answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Fewer characters than this.
    #[error("String should have at least {min} characters")]
    TooShort {
        /// The least number of characters.
        min: usize,
    },
    /// More than this, in the named unit.
    #[error("String should have at most {max} {unit}")]
    TooLong {
        /// The greatest number of units.
        max: usize,
        /// What is counted: `characters` or `bytes`.
        unit: &'static str,
    },
    /// Any other rule, as a sentence.
    #[error("{0}")]
    Other(&'static str),
}

/// A password that may be hashed: at least 8 characters, at most the 72 bytes that bcrypt uses.
/// Never shown.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// The limit of bcrypt; longer passwords would be cut silently.
    pub const MAX_BYTES: usize = 72;
    const MIN_CHARACTERS: usize = 8;

    /// Checks the rules; the text is used exactly as given.
    pub fn parse(text: String) -> Result<Self, Violation> {
        if text.chars().count() < Self::MIN_CHARACTERS {
            return Err(Violation::TooShort { min: Self::MIN_CHARACTERS });
        }
        if text.len() > Self::MAX_BYTES {
            return Err(Violation::TooLong { max: Self::MAX_BYTES, unit: "bytes of UTF-8" });
        }
        // bcrypt ends at a NUL: two passwords that differ only behind it would be the same.
        if text.contains('\0') {
            return Err(Violation::Other("Password must not contain NUL"));
        }
        Ok(Self(text))
    }

    /// The password, for hashing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The name of a room: 1 to 255 characters, stored as sent, without NUL (which Postgres cannot
/// store).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomName(String);

impl RoomName {
    const MAX_CHARACTERS: usize = 255;

    /// Checks the rules.
    pub fn parse(text: String) -> Result<Self, Violation> {
        if text.is_empty() {
            return Err(Violation::TooShort { min: 1 });
        }
        if text.chars().count() > Self::MAX_CHARACTERS {
            return Err(Violation::TooLong { max: Self::MAX_CHARACTERS, unit: "characters" });
        }
        if text.contains('\0') {
            return Err(Violation::Other("Name must not contain NUL"));
        }
        Ok(Self(text))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, given away.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// The content of a message: 1 to 16,384 bytes, not only white space, no NUL, stored exactly as
/// sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageContent(String);

impl MessageContent {
    const MAX_BYTES: usize = 16_384;

    /// Checks the rules.
    pub fn parse(text: String) -> Result<Self, Violation> {
        if text.is_empty() {
            return Err(Violation::TooShort { min: 1 });
        }
        if text.len() > Self::MAX_BYTES {
            return Err(Violation::TooLong { max: Self::MAX_BYTES, unit: "bytes" });
        }
        if text.contains('\0') {
            return Err(Violation::Other("Content must not contain NUL"));
        }
        if text.chars().all(char::is_whitespace) {
            return Err(Violation::Other("Content must not be only white space"));
        }
        Ok(Self(text))
    }

    /// The content.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The content, given away.
    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_measured_in_characters_below_and_in_bytes_above() {
        assert!(Password::parse("1234567".into()).is_err());
        assert!(Password::parse("äöüäöüäö".into()).is_ok());
        assert!(Password::parse("ä".repeat(36)).is_ok());
        assert!(Password::parse("ä".repeat(36) + "a").is_err());
    }

    #[test]
    fn contents_are_refused_when_empty_blank_too_long_or_with_nul() {
        for bad in ["", " \n\t\u{3000}", "a\0b"] {
            assert!(MessageContent::parse(bad.into()).is_err(), "{bad:?}");
        }
        assert!(MessageContent::parse("a".repeat(16_384)).is_ok());
        assert!(MessageContent::parse("a".repeat(16_385)).is_err());
    }

    #[test]
    fn room_names_are_measured_in_characters() {
        assert!(RoomName::parse("ä".repeat(255)).is_ok());
        assert!(RoomName::parse("ä".repeat(256)).is_err());
        assert!(RoomName::parse(" ".into()).is_ok());
    }
}
