//! The JSON objects of the API. Each is the same, member for member, wherever it appears.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use parlance_core::{Timestamp, UserId, Violation};
use parlance_proto::{auth, contacts, messaging, rooms};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use crate::error::ApiError;

/// The users that an answer names, by id.
pub(crate) type UsersById = HashMap<UserId, Arc<User>, ById>;
/// Makes hashers for ids, which are numbers in a row that nobody can choose: no need to mix them
/// well.
pub(crate) type ById = BuildHasherDefault<IdHasher>;

/// A person with an account.
#[derive(Clone, Debug, ToSchema)]
pub struct User {
    /// The user's id.
    #[schema(value_type = i64, minimum = 1)]
    pub id: UserId,
    /// The name as registered.
    pub username: String,
    /// Whether the user may log in.
    pub is_active: bool,
    /// When the account was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the account last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// All of it as it stands in every answer: users are read far more often than they change.
    #[schema(ignore)]
    encoded: Box<RawValue>,
}

/// The members of a user, to be encoded.
#[derive(Serialize)]
struct UserMembers<'a> {
    id: UserId,
    username: &'a str,
    is_active: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl User {
    /// The user with these members.
    pub fn new(
        id: UserId,
        username: String,
        is_active: bool,
        created_at: Timestamp,
        updated_at: Timestamp,
    ) -> Self {
        let members = UserMembers { id, username: &username, is_active, created_at, updated_at };
        #[expect(
            clippy::expect_used,
            reason = "numbers, text and truth values always have an encoding"
        )]
        let encoded = to_raw_value(&members).expect("a user can be encoded");
        Self { id, username, is_active, created_at, updated_at, encoded }
    }
}

impl Serialize for User {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.encoded.serialize(serializer)
    }
}

impl PartialEq for User {
    fn eq(&self, other: &Self) -> bool {
        self.encoded.get() == other.encoded.get()
    }
}

impl From<auth::User> for User {
    fn from(user: auth::User) -> Self {
        let [created_at, updated_at] =
            [user.created_at_us, user.updated_at_us].map(Timestamp::from_micros);
        Self::new(UserId::new(user.id), user.username, user.is_active, created_at, updated_at)
    }
}

/// Spreads ids over a table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_i64(&mut self, id: i64) {
        self.write_u64(id.cast_unsigned());
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing: an odd number near 2^64 divided by the golden ratio.
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A wish to become contacts.
#[derive(Debug, Serialize, ToSchema)]
pub struct Invitation<'a> {
    /// The invitation's id.
    #[schema(minimum = 1)]
    pub id: i64,
    /// Who invited.
    #[schema(value_type = User)]
    pub from_user: &'a User,
    /// Who was invited.
    #[schema(value_type = User)]
    pub to_user: &'a User,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl<'a> Invitation<'a> {
    /// The invitation with its users, which must be among those given.
    pub(crate) fn join(
        invitation: &contacts::Invitation,
        users: &'a UsersById,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            id: invitation.id,
            from_user: user_of(users, invitation.from_user_id)?,
            to_user: user_of(users, invitation.to_user_id)?,
            created_at: Timestamp::from_micros(invitation.created_at_us),
            updated_at: Timestamp::from_micros(invitation.updated_at_us),
        })
    }
}

/// Two users who agreed to talk, seen from one of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct Contact<'a> {
    /// The contact's id, the same for both.
    #[schema(minimum = 1)]
    pub id: i64,
    /// The other one.
    #[schema(value_type = User)]
    pub other_user: &'a User,
    /// When they became contacts.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl<'a> Contact<'a> {
    /// The contact with its user, who must be among those given.
    pub(crate) fn join(
        contact: &contacts::Contact,
        users: &'a UsersById,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            id: contact.id,
            other_user: user_of(users, contact.other_user_id)?,
            created_at: Timestamp::from_micros(contact.created_at_us),
            updated_at: Timestamp::from_micros(contact.updated_at_us),
        })
    }
}

/// A user in a room.
#[derive(Debug, Serialize, ToSchema)]
pub struct Member<'a> {
    /// Who.
    #[schema(value_type = User)]
    pub user: &'a User,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub joined_at: Timestamp,
}

/// A place to talk.
#[derive(Debug, Serialize, ToSchema)]
pub struct Room<'a> {
    /// The room's id.
    #[schema(minimum = 1)]
    pub id: i64,
    /// The name; null in a system room.
    #[schema(required, value_type = Option<String>)]
    pub name: Option<&'a str>,
    /// The owner; null in a system room.
    #[schema(required, value_type = Option<User>)]
    pub owner: Option<&'a User>,
    /// Whether it is the unchangeable room of two contacts.
    pub is_system: bool,
    /// The members in the order in which they joined.
    #[schema(value_type = Vec<Member>)]
    pub members: Vec<Member<'a>>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it or its members last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl<'a> Room<'a> {
    /// The room with its users, who must be among those given.
    pub(crate) fn join(room: &'a rooms::Room, users: &'a UsersById) -> Result<Self, ApiError> {
        let member = |member: &rooms::Member| {
            let joined_at = Timestamp::from_micros(member.joined_at_us);
            Ok::<_, ApiError>(Member { user: user_of(users, member.user_id)?, joined_at })
        };
        Ok(Self {
            id: room.id,
            name: room.name.as_deref(),
            owner: room.owner_id.map(|id| user_of(users, id)).transpose()?,
            is_system: room.is_system,
            members: room.members.iter().map(member).collect::<Result<_, _>>()?,
            created_at: Timestamp::from_micros(room.created_at_us),
            updated_at: Timestamp::from_micros(room.updated_at_us),
        })
    }
}

/// A message as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Message<'a> {
    /// The message's id; grows with `seq` inside a room.
    #[schema(minimum = 1)]
    pub id: i64,
    /// The room it is in.
    #[schema(minimum = 1)]
    pub room_id: i64,
    /// Who sent it.
    #[schema(value_type = User)]
    pub sender: &'a User,
    /// What was sent, unchanged.
    #[schema(value_type = String)]
    pub content: &'a str,
    /// When it was last edited; null when never.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub edited_at: Option<Timestamp>,
    /// When it was sent.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// The place of its creation in the order of the room's changes.
    #[schema(minimum = 1)]
    pub seq: i64,
}

impl<'a> From<(&'a messaging::Message, &'a User)> for Message<'a> {
    fn from((message, sender): (&'a messaging::Message, &'a User)) -> Self {
        Self {
            id: message.id,
            room_id: message.room_id,
            sender,
            content: &message.content,
            edited_at: message.edited_at_us.map(Timestamp::from_micros),
            created_at: Timestamp::from_micros(message.created_at_us),
            updated_at: Timestamp::from_micros(message.updated_at_us),
            seq: message.seq,
        }
    }
}

/// A key that a client chose for one of its messages, so that sending it again stores nothing new:
/// 1 to 64 characters, no NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientMessageId(String);

impl ClientMessageId {
    const MAX_CHARACTERS: usize = 64;

    /// Checks the rules.
    pub fn parse(text: String) -> Result<Self, Violation> {
        if text.is_empty() {
            return Err(Violation::TooShort { min: 1 });
        }
        if text.chars().count() > Self::MAX_CHARACTERS {
            return Err(Violation::TooLong { max: Self::MAX_CHARACTERS, unit: "characters" });
        }
        if text.contains('\0') {
            return Err(Violation::Other("The id must not contain NUL"));
        }
        Ok(Self(text))
    }

    /// The key as the client sent it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A user whom auth has been asked for. UserCache are never deleted, so one that is unknown is a
/// mistake.
pub(crate) fn user_of(users: &UsersById, id: i64) -> Result<&User, ApiError> {
    let user = users.get(&UserId::new(id));
    user.map(|user| &**user)
        .ok_or_else(|| ApiError::contract_broken("a user id is unknown to auth"))
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_has_all_members_wherever_it_stands() {
        let [early, late] = [0, 1_000_000].map(Timestamp::from_micros);
        let user = User::new(UserId::new(7), "Änn\"".to_owned(), true, early, late);
        let expected = json!({
            "id": 7, "username": "Änn\"", "is_active": true,
            "created_at": "1970-01-01T00:00:00.000000Z", "updated_at": "1970-01-01T00:00:01.000000Z",
        });
        let member = Member { user: &user, joined_at: early };
        assert_eq!(serde_json::to_value(&user).unwrap(), expected);
        assert_eq!(serde_json::to_value(&member).unwrap()["user"], expected);
    }

    #[test]
    fn ids_in_a_row_are_spread() {
        let hashes =
            |shift| (1..=128_i64).map(move |id| ById::default().hash_one(UserId::new(id)) >> shift);
        let distinct = |hashes: &mut dyn Iterator<Item = u64>| {
            hashes.collect::<std::collections::HashSet<_>>().len()
        };
        // A table looks at the lowest bits, and tells neighbours apart by the highest seven.
        assert_eq!(distinct(&mut hashes(0).map(|hash| hash % 128)), 128);
        assert!(distinct(&mut hashes(57)) > 64);
    }
}
