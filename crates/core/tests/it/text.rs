//! The rules of passwords, contents and room names.

use parlance_core::{MessageContent, Password, RoomName};

#[test]
fn a_password_has_at_least_8_characters_and_at_most_72_bytes() {
    assert!(Password::parse("1234567".into()).is_err());
    assert!(Password::parse("äöüäöüäö".into()).is_ok());
    assert!(Password::parse("ä".repeat(36)).is_ok());
    assert!(Password::parse("ä".repeat(36) + "a").is_err());
}

#[test]
fn a_content_is_not_empty_blank_too_long_or_with_nul() {
    for bad in ["", " \n\t\u{3000}", "a\0b"] {
        assert!(MessageContent::parse(bad.into()).is_err(), "{bad:?}");
    }
    assert!(MessageContent::parse("a".repeat(16_384)).is_ok());
    assert!(MessageContent::parse("a".repeat(16_385)).is_err());
}

#[test]
fn a_room_name_has_at_most_255_characters() {
    assert!(RoomName::parse("ä".repeat(255)).is_ok());
    assert!(RoomName::parse("ä".repeat(256)).is_err());
    assert!(RoomName::parse(" ".into()).is_ok());
}
