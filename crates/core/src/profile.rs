//! The rules of what users show of themselves.

use icu_properties::props::{BinaryProperty, DefaultIgnorableCodePoint};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
use url::Url;

use crate::text::{Violation, check_length};

/// The name that a user shows: 1 to 64 characters, no control character (general category Cc), at
/// least one that is visible. Kept as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayName(String);

impl DisplayName {
    const MAX_CHARACTERS: usize = 64;

    /// Checks the rules.
    pub fn parse(text: String) -> Result<Self, Violation> {
        check_length(&text, Self::MAX_CHARACTERS)?;
        if text.chars().any(char::is_control) {
            return Err(Violation::Other("The name must not contain control characters"));
        }
        if !text.chars().any(is_visible) {
            return Err(Violation::Other("The name must contain a visible character"));
        }
        Ok(Self(text))
    }

    /// Returns the name as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// True for letters, numbers, punctuation and symbols that are displayed as something. A combining
/// mark needs one of them. Left out are characters that are displayed as nothing
/// (Default_Ignorable_Code_Point of the Unicode Standard, section 5.21) and those with an empty
/// glyph: a Braille pattern without dots, a note head, and two blanks of Egyptian hieroglyphs.
fn is_visible(character: char) -> bool {
    let is_blank = matches!(character, '\u{2800}' | '\u{1d159}' | '\u{13441}' | '\u{13442}');
    let has_glyph = matches!(
        character.general_category_group(),
        GeneralCategoryGroup::Letter
            | GeneralCategoryGroup::Number
            | GeneralCategoryGroup::Punctuation
            | GeneralCategoryGroup::Symbol
    );
    has_glyph && !is_blank && !DefaultIgnorableCodePoint::for_char(character)
}

/// The address of a user's picture: an absolute `https` URL with a host, at most 512 characters.
/// It has no white space, and none of `"`, `<`, `>`, `\` and the backtick, which RFC 3986 allows in
/// no URL. Characters beyond ASCII are allowed, as in the URL Standard. Kept as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvatarUrl(String);

impl AvatarUrl {
    const MAX_CHARACTERS: usize = 512;
    const SCHEME: &str = "https://";

    /// Checks the rules.
    pub fn parse(text: String) -> Result<Self, Violation> {
        check_length(&text, Self::MAX_CHARACTERS)?;
        if text.chars().all(is_allowed) && has_host(&text) && Url::parse(&text).is_ok() {
            Ok(Self(text))
        } else {
            Err(Violation::Other("An absolute https URL with a host is required here"))
        }
    }

    /// Returns the URL as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_allowed(character: char) -> bool {
    let is_never_in_urls = matches!(character, '"' | '`' | '<' | '>' | '\\');
    let is_shown = !character.is_whitespace()
        && !character.is_control()
        && !DefaultIgnorableCodePoint::for_char(character);
    is_shown && !is_never_in_urls
}

/// The parser alone is too lenient: it finds a host behind any number of slashes.
fn has_host(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_at_checked(AvatarUrl::SCHEME.len()) else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(AvatarUrl::SCHEME) && !host.is_empty() && !host.starts_with(':')
}
