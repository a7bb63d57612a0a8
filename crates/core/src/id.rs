//! Ids as newtypes: positive 64-bit integers of different types, so that the compiler tells them
//! apart.

/// Declares an id type around an `i64`.
macro_rules! id {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            Hash,
            serde::Serialize,
            serde::Deserialize,
        )]
        #[serde(transparent)]
        #[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
        pub struct $name(i64);

        impl $name {
            /// Wraps a number that is an id of this kind.
            pub const fn new(value: i64) -> Self {
                Self(value)
            }

            /// Returns the number, for SQL arrays and for the wire.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(UserId, "The id of a user, given by auth.");
id!(RoomId, "The id of a room, given by rooms.");
id!(MessageId, "The id of a message, given by messaging; grows with `seq` inside a room.");
