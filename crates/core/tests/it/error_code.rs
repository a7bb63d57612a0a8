//! The names of error codes.

use parlance_core::ErrorCode;

#[test]
fn every_name_finds_its_code() {
    for &code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_name(code.name()), Some(code));
    }
}
