//! The rules of passwords, room names and message contents.

use std::fmt;

/// The rule that a text breaks. The gateway turns it into an entry of a 422 response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The text has fewer characters than this.
    #[error("String should have at least {min} characters")]
    TooShort {
        /// The least number of characters.
        min: usize,
    },
    /// The text has more than this, in the named unit.
    #[error("String should have at most {max} {unit}")]
    TooLong {
        /// The greatest number of units.
        max: usize,
        /// `characters` or `bytes`.
        unit: &'static str,
    },
    /// The text breaks another rule, given as a sentence.
    #[error("{0}")]
    Other(&'static str),
}

/// A password: at least 8 characters, and at most the 72 bytes that bcrypt uses. Never logged.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// The limit of bcrypt, which silently truncates longer passwords.
    pub const MAX_BYTES: usize = 72;
    const MIN_CHARACTERS: usize = 8;

    /// Checks the rules. The text is used exactly as given.
    pub fn parse(text: String) -> Result<Self, Violation> {
        if text.chars().count() < Self::MIN_CHARACTERS {
            return Err(Violation::TooShort { min: Self::MIN_CHARACTERS });
        }
        if text.len() > Self::MAX_BYTES {
            return Err(Violation::TooLong { max: Self::MAX_BYTES, unit: "bytes of UTF-8" });
        }
        // bcrypt stops at a NUL: passwords that differ only behind it have the same hash.
        if text.contains('\0') {
            return Err(Violation::Other("Password must not contain NUL"));
        }
        Ok(Self(text))
    }

    /// Returns the password, for hashing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Checks that a text has 1 to `max` characters.
pub fn check_length(text: &str, max: usize) -> Result<(), Violation> {
    if text.is_empty() {
        return Err(Violation::TooShort { min: 1 });
    }
    if text.chars().count() > max {
        return Err(Violation::TooLong { max, unit: "characters" });
    }
    Ok(())
}

/// The name of a room: 1 to 255 characters, stored as sent, without NUL (which Postgres cannot
/// store).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomName(String);

impl RoomName {
    const MAX_CHARACTERS: usize = 255;

    /// Checks the rules.
    pub fn parse(text: String) -> Result<Self, Violation> {
        check_length(&text, Self::MAX_CHARACTERS)?;
        if text.contains('\0') {
            return Err(Violation::Other("Name must not contain NUL"));
        }
        Ok(Self(text))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name as an owned string.
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

    /// Returns the content as an owned string.
    pub fn into_string(self) -> String {
        self.0
    }
}
