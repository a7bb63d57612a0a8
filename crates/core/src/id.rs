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
id!(SessionId, "The id of a session, given by auth.");
id!(RoomId, "The id of a room, given by rooms.");
id!(MessageId, "The id of a message, given by messaging; grows with `seq` inside a room.");

/// Two different users, the lower id first.
#[derive(Clone, Copy, Debug)]
pub struct UserPair {
    /// The lower id.
    pub low: UserId,
    /// The higher id.
    pub high: UserId,
}

impl UserPair {
    /// Takes two users in any order. `None` if they are the same.
    pub fn new(first: UserId, second: UserId) -> Option<Self> {
        (first != second).then(|| Self { low: first.min(second), high: first.max(second) })
    }

    /// Returns the user of the pair that is not `user`.
    pub fn other_than(self, user: UserId) -> UserId {
        if self.low == user { self.high } else { self.low }
    }
}
