//! Conversions between the types of the service and the generated ones.

use std::time::Duration;

use parlance_core::{SessionId, Timestamp, UserId, Violation};
use parlance_proto::auth as proto;
use parlance_proto::auth::ended_access::Tokens as EndedTokensMessage;

use crate::access_updates::AccessUpdate;
use crate::error::Error;
use crate::model::{
    AccessState, CallerToken, EndedAccess, EndedTokens, FoundUser, PublicKey, Session, TextChange,
    Tokens, User,
};

impl From<User> for proto::User {
    fn from(user: User) -> Self {
        Self {
            id: user.id.get(),
            username: user.username,
            is_active: user.is_active,
            created_at_us: user.created_at.as_micros(),
            updated_at_us: user.updated_at.as_micros(),
            avatar_url: user.avatar_url,
            display_name: user.display_name,
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

impl From<Tokens> for proto::Tokens {
    fn from(tokens: Tokens) -> Self {
        let refresh_token = |(token, expires_in)| proto::RefreshToken {
            token,
            expires_in_s: whole_seconds(expires_in),
        };
        Self {
            access_token: tokens.access_token,
            expires_in_s: whole_seconds(tokens.expires_in),
            session_id: tokens.session_id.get(),
            refresh_token: tokens.refresh_token.map(refresh_token),
        }
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

impl From<Session> for proto::Session {
    fn from(session: Session) -> Self {
        Self {
            id: session.id.get(),
            created_at_us: session.created_at.as_micros(),
            last_used_at_us: session.last_used_at.as_micros(),
            expires_at_us: session.expires_at.as_micros(),
            user_agent: session.user_agent,
            address: session.address,
        }
    }
}

impl TryFrom<Option<proto::CallerToken>> for CallerToken {
    type Error = Error;

    fn try_from(caller: Option<proto::CallerToken>) -> Result<Self, Error> {
        let caller = caller.filter(|caller| caller.user_id > 0 && !caller.token_id.is_empty());
        let caller = caller.ok_or(Error::NoCaller)?;
        Ok(Self {
            user_id: UserId::new(caller.user_id),
            session_id: caller.session_id.map(SessionId::new),
            token_id: caller.token_id,
            expires_at: Timestamp::from_micros(caller.expires_at_s.saturating_mul(1_000_000)),
        })
    }
}

impl From<AccessUpdate> for proto::WatchAccessStateResponse {
    fn from(update: AccessUpdate) -> Self {
        Self {
            state: update.state.map(Into::into),
            ended: update.ended.into_iter().map(Into::into).collect(),
            is_complete: update.is_complete,
            are_profiles_reset: update.changed_user_ids.is_none(),
            changed_user_ids: user_ids(update.changed_user_ids),
        }
    }
}

fn user_ids(ids: Option<Vec<UserId>>) -> Vec<i64> {
    ids.unwrap_or_default().into_iter().map(UserId::get).collect()
}

/// Checks the text of a change; an absent change keeps what is there.
pub(super) fn text_change<T>(
    change: Option<proto::TextChange>,
    parse: fn(String) -> Result<T, Violation>,
) -> Result<TextChange<T>, Error> {
    let Some(change) = change else { return Ok(TextChange::Keep) };
    Ok(TextChange::Set(change.text.map(parse).transpose()?))
}

impl From<EndedAccess> for proto::EndedAccess {
    fn from(ended: EndedAccess) -> Self {
        let tokens = match ended.tokens {
            EndedTokens::OfSession(session_id) => EndedTokensMessage::SessionId(session_id.get()),
            EndedTokens::Token(token_id) => EndedTokensMessage::TokenId(token_id.to_string()),
            EndedTokens::OfUser { user_id, issued_until } => {
                EndedTokensMessage::UserTokens(proto::UserTokens {
                    user_id: user_id.get(),
                    issued_until_s: issued_until.as_seconds(),
                })
            }
        };
        Self { tokens: Some(tokens), expires_at_s: ended.expires_at.as_seconds() }
    }
}
