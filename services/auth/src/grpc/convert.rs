//! Conversions from the types of the service to the generated ones.

use parlance_core::UserId;
use parlance_proto::auth as proto;

use crate::model::{AccessState, FoundUser, PublicKey, User};

impl From<User> for proto::User {
    fn from(user: User) -> Self {
        Self {
            id: user.id.get(),
            username: user.username,
            is_active: user.is_active,
            created_at_us: user.created_at.as_micros(),
            updated_at_us: user.updated_at.as_micros(),
        }
    }
}

impl From<FoundUser> for proto::FoundUser {
    fn from(found: FoundUser) -> Self {
        Self { requested_username: found.requested_username, user: Some(found.user.into()) }
    }
}

impl From<PublicKey> for proto::PublicKey {
    fn from(key: PublicKey) -> Self {
        Self { kid: key.kid, ed25519: key.ed25519 }
    }
}

impl From<AccessState> for proto::AccessState {
    fn from(state: AccessState) -> Self {
        Self {
            keys: state.keys.into_iter().map(Into::into).collect(),
            inactive_user_ids: state.inactive_user_ids.into_iter().map(UserId::get).collect(),
        }
    }
}
