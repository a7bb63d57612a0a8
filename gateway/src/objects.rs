//! The JSON objects of the API. Each is the same, member for member, wherever it appears.

use std::collections::HashMap;
use std::sync::Arc;

use parlance_core::{Timestamp, UserId, Violation};
use parlance_proto::{auth, contacts, messaging, rooms};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;

/// The users that an answer names, by id.
pub(crate) type UsersById = HashMap<UserId, Arc<User>>;

/// A person with an account.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
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
}

impl From<auth::User> for User {
    fn from(user: auth::User) -> Self {
        Self {
            id: UserId::new(user.id),
            username: user.username,
            is_active: user.is_active,
            created_at: Timestamp::from_micros(user.created_at_us),
            updated_at: Timestamp::from_micros(user.updated_at_us),
        }
    }
}

/// A wish to become contacts.
#[derive(Debug, Serialize, ToSchema)]
pub struct Invitation {
    /// The invitation's id.
    #[schema(minimum = 1)]
    pub id: i64,
    /// Who invited.
    pub from_user: User,
    /// Who was invited.
    pub to_user: User,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl Invitation {
    /// The invitation with its users, which must be among those given.
    pub(crate) fn join(invitation: &contacts::Invitation, users: &UsersById) -> Result<Self, ApiError> {
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
pub struct Contact {
    /// The contact's id, the same for both.
    #[schema(minimum = 1)]
    pub id: i64,
    /// The other one.
    pub other_user: User,
    /// When they became contacts.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl Contact {
    /// The contact with its user, who must be among those given.
    pub(crate) fn join(contact: &contacts::Contact, users: &UsersById) -> Result<Self, ApiError> {
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
pub struct Member {
    /// Who.
    pub user: User,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub joined_at: Timestamp,
}

/// A place to talk.
#[derive(Debug, Serialize, ToSchema)]
pub struct Room {
    /// The room's id.
    #[schema(minimum = 1)]
    pub id: i64,
    /// The name; null in a system room.
    #[schema(required)]
    pub name: Option<String>,
    /// The owner; null in a system room.
    #[schema(required)]
    pub owner: Option<User>,
    /// Whether it is the unchangeable room of two contacts.
    pub is_system: bool,
    /// The members in the order in which they joined.
    pub members: Vec<Member>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it or its members last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl Room {
    /// The room with its users, who must be among those given.
    pub(crate) fn join(room: rooms::Room, users: &UsersById) -> Result<Self, ApiError> {
        let member = |member: &rooms::Member| {
            let joined_at = Timestamp::from_micros(member.joined_at_us);
            Ok::<_, ApiError>(Member { user: user_of(users, member.user_id)?, joined_at })
        };
        Ok(Self {
            id: room.id,
            name: room.name,
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
pub struct Message {
    /// The message's id; grows with `seq` inside a room.
    #[schema(minimum = 1)]
    pub id: i64,
    /// The room it is in.
    #[schema(minimum = 1)]
    pub room_id: i64,
    /// Who sent it.
    pub sender: User,
    /// What was sent, unchanged.
    pub content: String,
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

impl From<(&messaging::Message, &User)> for Message {
    fn from((message, sender): (&messaging::Message, &User)) -> Self {
        Self {
            id: message.id,
            room_id: message.room_id,
            sender: sender.clone(),
            content: message.content.clone(),
            edited_at: message.edited_at_us.map(Timestamp::from_micros),
            created_at: Timestamp::from_micros(message.created_at_us),
            updated_at: Timestamp::from_micros(message.updated_at_us),
            seq: message.seq,
        }
    }
}

/// A key that a client chose for one of its messages, so that sending it again stores nothing new: 1 to 64 characters, no NUL.
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

/// A user whom auth has been asked for. Users are never deleted, so one that is unknown is a mistake.
pub(crate) fn user_of(users: &UsersById, id: i64) -> Result<User, ApiError> {
    let user = users.get(&UserId::new(id));
    user.map(|user| User::clone(user))
        .ok_or_else(|| ApiError::contract_broken("a user id is unknown to auth"))
}
