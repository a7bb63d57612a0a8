//! The sessions and tokens that have ended before they expire.

use std::collections::HashMap;

use parlance_core::{SessionId, UserId};
use parlance_proto::auth::EndedAccess;
use parlance_proto::auth::ended_access::Tokens;

use crate::api::dto::BuildIdHasher;
use crate::auth::identity::Identity;

/// The most ended sessions that are known one by one. They take about 40 MB.
const MAX_SESSIONS: usize = 1_800_000;
/// The most entries about tokens without a session, which no log-in issues any more.
const MAX_WITHOUT_SESSION: usize = 200_000;

/// What has ended. An entry is forgotten when its tokens have expired, and the number of entries
/// has a limit.
#[derive(Default)]
pub(super) struct Ended {
    /// When the last token of each session expires, in seconds since the Unix epoch.
    sessions: HashMap<SessionId, i64, BuildIdHasher>,
    /// All sessions up to this id count as ended, because there were too many to know each.
    all_sessions_until: Option<SessionId>,
    /// When these tokens without a session expire.
    tokens: HashMap<Box<str>, i64>,
    /// Until when the tokens of a user without a session were issued, and when the last expires.
    users: HashMap<UserId, (i64, i64), BuildIdHasher>,
    /// True if all tokens without a session count as ended, because there were too many entries.
    all_without_session: bool,
}

impl Ended {
    /// Returns true if a token has ended.
    pub(super) fn contains(&self, identity: &Identity) -> bool {
        let token = &identity.token;
        if let Some(session_id) = token.session_id {
            return self.sessions.contains_key(&session_id)
                || self.all_sessions_until.is_some_and(|last| session_id <= last);
        }
        let is_issued_until =
            |&(issued_until_s, _): &(i64, i64)| token.issued_at_s <= issued_until_s;
        self.all_without_session
            || self.users.get(&identity.user_id).is_some_and(is_issued_until)
            || self.tokens.contains_key(&token.id)
    }

    /// Adds what has ended.
    pub(super) fn add(&mut self, ended: Vec<EndedAccess>) {
        for EndedAccess { tokens, expires_at_s } in ended {
            match tokens {
                Some(Tokens::SessionId(id)) => {
                    let known = self.sessions.entry(SessionId::new(id)).or_default();
                    *known = expires_at_s.max(*known);
                }
                Some(Tokens::TokenId(id)) => drop(self.tokens.insert(id.into(), expires_at_s)),
                Some(Tokens::UserTokens(user)) => {
                    let known = self.users.entry(UserId::new(user.user_id)).or_default();
                    known.0 = known.0.max(user.issued_until_s);
                    known.1 = known.1.max(expires_at_s);
                }
                None => {}
            }
        }
        self.limit(MAX_SESSIONS, MAX_WITHOUT_SESSION);
    }

    /// Forgets what has expired.
    pub(super) fn purge(&mut self, now_s: i64) {
        self.sessions.retain(|_, expires_at_s| *expires_at_s > now_s);
        self.tokens.retain(|_, expires_at_s| *expires_at_s > now_s);
        self.users.retain(|_, (_, expires_at_s)| *expires_at_s > now_s);
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.sessions.len() + self.tokens.len() + self.users.len()
    }

    /// Keeps the number of entries within its limits. Nothing that has ended is accepted again for
    /// it: the oldest sessions end, ended or not, and their users have to log in.
    fn limit(&mut self, max_sessions: usize, max_without_session: usize) {
        if self.sessions.len() > max_sessions {
            let mut ids: Vec<SessionId> = self.sessions.keys().copied().collect();
            let (_, &mut last, _) = ids.select_nth_unstable(max_sessions / 4);
            tracing::error!(session.id = last.get(), "too many ended sessions; ending all older");
            self.all_sessions_until = self.all_sessions_until.max(Some(last));
            self.sessions.retain(|&id, _| id > last);
        }
        if self.tokens.len() + self.users.len() > max_without_session {
            tracing::error!("too many ended tokens without a session; ending all without one");
            self.all_without_session = true;
            self.tokens = HashMap::new();
            self.users = HashMap::default();
        }
    }
}

#[cfg(test)]
#[path = "tests/ended.rs"]
mod tests;
