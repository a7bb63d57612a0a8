//! Timestamps as texts and as dates.

use parlance_core::Timestamp;
use time::OffsetDateTime;

#[test]
fn a_timestamp_is_displayed_in_utc_with_six_digits() {
    assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000000Z");
    assert_eq!(
        Timestamp::from_micros(1_795_359_999_000_042).to_string(),
        "2026-11-22T15:06:39.000042Z"
    );
    assert_eq!(Timestamp::from_micros(-1).to_string(), "1969-12-31T23:59:59.999999Z");
}

#[test]
fn a_timestamp_converts_to_a_date_and_back() {
    for micros in [0, -1, 1_795_359_999_000_042, 951_827_696_789_012] {
        let date = OffsetDateTime::from(Timestamp::from_micros(micros));
        assert_eq!(date.unix_timestamp_nanos(), i128::from(micros) * 1_000);
        assert_eq!(Timestamp::from(date).as_micros(), micros);
    }
}
