//! Points in time, with the precision of Postgres.

use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};
use time::{Duration, OffsetDateTime};

/// Microseconds since the Unix epoch. Displayed as RFC 3339 in UTC with six digits and a `Z`:
/// `2026-11-22T15:06:39.000000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time this many microseconds after the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns the whole seconds since the Unix epoch, as in JSON Web Tokens.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Returns the time this much later.
    pub fn after(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// Returns the time this much earlier.
    pub fn before(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
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
        f.write_str(&Text::from(*self))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Text::from(*self))
    }
}

/// The text of a timestamp. Responses are full of timestamps, and the formatter of `time` takes ten
/// times as long.
struct Text([u8; Self::TEMPLATE.len()]);

impl Text {
    const TEMPLATE: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";
}

impl From<Timestamp> for Text {
    fn from(timestamp: Timestamp) -> Self {
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
        // The text is ASCII.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

fn write_digits(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
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

    /// Postgres counts microseconds since the beginning of the year 2000.
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
