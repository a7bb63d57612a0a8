//! The JSON objects of the API. An object has the same members in every answer and frame.

use std::collections::HashMap;
use std::sync::Arc;

use parlance_core::{Timestamp, UserId, Violation, check_length};
use parlance_proto::{auth, contacts, messaging, rooms};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use crate::error::ApiError;

/// Hashes ids. A fast hash suffices: clients cannot choose ids.
pub(crate) type BuildIdHasher = foldhash::fast::RandomState;
/// The users that an answer names, by id.
pub(crate) type UsersById = HashMap<UserId, Arc<User>, BuildIdHasher>;

/// A person with an account.
#[derive(Clone, Debug, ToSchema)]
pub struct User {
    /// The user's id.
    #[schema(value_type = i64, minimum = 1)]
    pub id: UserId,
    /// The name as registered.
    pub username: String,
    /// True if the user may log in.
    pub is_active: bool,
    /// When the account was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the account last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// The name to show; null if not set.
    #[schema(required)]
    pub display_name: Option<String>,
    /// The address of a picture; null if not set.
    #[schema(required)]
    pub avatar_url: Option<String>,
    /// The JSON of the user. It is encoded once, because users are read far more often than they
    /// change.
    #[schema(ignore)]
    encoded: Box<RawValue>,
}

/// The members of a user, for encoding.
#[derive(Serialize)]
struct UserMembers<'a> {
    id: UserId,
    username: &'a str,
    is_active: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    display_name: Option<&'a str>,
    avatar_url: Option<&'a str>,
}

impl User {
    /// Makes a user that shows only its name.
    pub fn new(
        id: UserId,
        username: String,
        is_active: bool,
        created_at: Timestamp,
        updated_at: Timestamp,
    ) -> Self {
        let encoded = Box::default();
        let (display_name, avatar_url) = (None, None);
        Self { id, username, is_active, created_at, updated_at, display_name, avatar_url, encoded }
            .encode()
    }

    /// Sets what the user shows beside its name.
    #[must_use]
    pub fn with_profile(self, display_name: Option<String>, avatar_url: Option<String>) -> Self {
        Self { display_name, avatar_url, ..self }.encode()
    }

    fn encode(mut self) -> Self {
        let members = UserMembers {
            id: self.id,
            username: &self.username,
            is_active: self.is_active,
            created_at: self.created_at,
            updated_at: self.updated_at,
            display_name: self.display_name.as_deref(),
            avatar_url: self.avatar_url.as_deref(),
        };
        #[expect(
            clippy::expect_used,
            reason = "numbers, texts and booleans always have an encoding"
        )]
        let encoded = to_raw_value(&members).expect("a user can be encoded");
        self.encoded = encoded;
        self
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
            .with_profile(user.display_name, user.avatar_url)
    }
}

/// An invitation to become contacts.
#[derive(Debug, Serialize, ToSchema)]
pub struct Invitation<'a> {
    /// The invitation's id.
    #[schema(minimum = 1)]
    pub id: i64,
    /// The user who invited.
    pub from_user: &'a User,
    /// The user who was invited.
    pub to_user: &'a User,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl<'a> Invitation<'a> {
    /// Adds the users, which must be among the given ones.
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

/// A contact, as one of the two users sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Contact<'a> {
    /// The contact's id, the same for both.
    #[schema(minimum = 1)]
    pub id: i64,
    /// The other user.
    pub other_user: &'a User,
    /// When they became contacts.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl<'a> Contact<'a> {
    /// Adds the user, which must be among the given ones.
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
    /// The user.
    pub user: &'a User,
    /// When the user joined.
    #[schema(value_type = String, format = DateTime)]
    pub joined_at: Timestamp,
}

/// A room.
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
    /// True if it is the room of two contacts, which cannot be changed.
    pub is_system: bool,
    /// The members in the order in which they joined.
    pub members: Vec<Member<'a>>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the room or its members last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl<'a> Room<'a> {
    /// Adds the users, which must be among the given ones.
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
    /// The message's id. It grows with `seq` within a room.
    #[schema(minimum = 1)]
    pub id: i64,
    /// The message's room.
    #[schema(minimum = 1)]
    pub room_id: i64,
    /// The user who sent it.
    pub sender: &'a User,
    /// The content, as sent.
    pub content: &'a str,
    /// When it was last edited; null if never.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub edited_at: Option<Timestamp>,
    /// When it was sent.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// The number of its creation among the changes of the room.
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

/// A client's idempotency key for a message: 1 to 64 characters, no NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientMessageId(String);

impl ClientMessageId {
    const MAX_CHARACTERS: usize = 64;

    /// Checks the rules of the key.
    pub fn parse(text: String) -> Result<Self, Violation> {
        check_length(&text, Self::MAX_CHARACTERS)?;
        if text.contains('\0') {
            return Err(Violation::Other("The id must not contain NUL"));
        }
        Ok(Self(text))
    }

    /// Returns the key as the client sent it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns a user that was looked up. Users are never deleted, so an unknown id is a broken
/// contract.
pub(crate) fn user_of(users: &UsersById, id: i64) -> Result<&User, ApiError> {
    let user = users.get(&UserId::new(id));
    user.map(|user| &**user)
        .ok_or_else(|| ApiError::contract_broken("a user id is unknown to auth"))
}
