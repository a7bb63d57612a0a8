//! Points in time, as precise as Postgres keeps them.

use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};
use time::{Duration, OffsetDateTime};

/// Microseconds since the Unix epoch. Shown as RFC 3339 in UTC with six digits and a `Z`:
/// `2026-11-22T15:06:39.000000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The point this many microseconds after the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, as in JSON Web Tokens.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(value: OffsetDateTime) -> Self {
        Self(value.unix_timestamp() * 1_000_000 + i64::from(value.microsecond()))
    }
}

impl From<Timestamp> for OffsetDateTime {
    fn from(value: Timestamp) -> Self {
        let begin_of_second =
            Self::from_unix_timestamp(value.as_seconds()).unwrap_or(Self::UNIX_EPOCH);
        begin_of_second + Duration::microseconds(value.0.rem_euclid(1_000_000))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Text::of(*self))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Text::of(*self))
    }
}

/// A point in time as it is shown. Answers are full of them, and what formats by a description
/// takes ten times as long.
struct Text([u8; Self::TEMPLATE.len()]);

impl Text {
    const TEMPLATE: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";

    fn of(timestamp: Timestamp) -> Self {
        let at = OffsetDateTime::from(timestamp);
        let (year, month, day) = at.to_calendar_date();
        let mut text = *Self::TEMPLATE;
        write_digits(&mut text[..4], year.unsigned_abs());
        write_digits(&mut text[5..7], u8::from(month).into());
        write_digits(&mut text[8..10], day.into());
        write_digits(&mut text[11..13], at.hour().into());
        write_digits(&mut text[14..16], at.minute().into());
        write_digits(&mut text[17..19], at.second().into());
        write_digits(&mut text[20..26], at.microsecond());
        Self(text)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        // Nothing but ASCII was written.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn write_digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(feature = "sqlx")]
mod postgres {
    use sqlx::encode::IsNull;
    use sqlx::error::BoxDynError;
    use sqlx::postgres::{
        PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef, Postgres,
    };
    use sqlx::{Decode, Encode, Type};
    use time::OffsetDateTime;

    use super::Timestamp;

    /// Postgres counts microseconds, too, from the beginning of the year 2000.
    const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

    impl Type<Postgres> for Timestamp {
        fn type_info() -> PgTypeInfo {
            <OffsetDateTime as Type<Postgres>>::type_info()
        }
    }

    impl PgHasArrayType for Timestamp {
        fn array_type_info() -> PgTypeInfo {
            <OffsetDateTime as PgHasArrayType>::array_type_info()
        }
    }

    impl<'r> Decode<'r, Postgres> for Timestamp {
        fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
            Ok(match value.format() {
                PgValueFormat::Binary => {
                    let micros = <i64 as Decode<Postgres>>::decode(value)?;
                    Self(micros.saturating_add(POSTGRES_EPOCH_MICROS))
                }
                PgValueFormat::Text => <OffsetDateTime as Decode<Postgres>>::decode(value)?.into(),
            })
        }
    }

    impl Encode<'_, Postgres> for Timestamp {
        fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
            Encode::<Postgres>::encode(self.0.saturating_sub(POSTGRES_EPOCH_MICROS), buffer)
        }
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::Timestamp;

    #[test]
    fn is_shown_in_utc_with_six_digits() {
        assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(
            Timestamp::from_micros(1_795_359_999_000_042).to_string(),
            "2026-11-22T15:06:39.000042Z"
        );
        assert_eq!(Timestamp::from_micros(-1).to_string(), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn is_the_same_as_a_date_of_the_calendar() {
        for micros in [0, -1, 1_795_359_999_000_042, 951_827_696_789_012] {
            let date = OffsetDateTime::from(Timestamp::from_micros(micros));
            assert_eq!(date.unix_timestamp_nanos(), i128::from(micros) * 1_000);
            assert_eq!(Timestamp::from(date).as_micros(), micros);
        }
    }
}
