//! Exchanging a refresh token for new tokens.

use std::time::Duration;

use parlance_core::{SessionId, UserId};
use sqlx::PgConnection;

use super::begin_session::newer_generation;
use crate::access::Access;
use crate::app::App;
use crate::audit;
use crate::client::Client;
use crate::error::Error;
use crate::model::{LockedSession, NewRefreshToken, PresentedToken, Tokens};
use crate::refresh_token::{self, TokenHash};
use crate::store::{refresh_tokens, sessions};
use crate::tokens::{self, Subject};

/// How long a token may be used again, from its first use.
const GRACE: Duration = Duration::from_secs(30);
/// Unused tokens of a session. The oldest goes when there is one more.
const MAX_UNUSED: i64 = 32;
/// Used tokens of a session that are remembered, to notice their reuse: more than a client needs
/// that refreshes every 15 minutes for 30 days.
const MAX_USED: i64 = 4_096;

/// What a refresh token led to.
enum Outcome {
    /// The token is no live one.
    Unknown,
    /// The token is one of a session that has ended, or whose generation is not that of the keys.
    NotLive,
    /// The token had been used before, and so has one that it was exchanged for.
    Stolen { user_id: UserId, session_id: SessionId },
    /// The token is exchanged. The event, if any, is that it had been used before.
    Issued { user_id: UserId, tokens: Tokens, reuse: Option<&'static str> },
}

/// Exchanges a token. One that was used before is exchanged again within the grace period, and
/// later if no token that it was exchanged for has been used: then the answer was lost. Otherwise
/// somebody has a copy, and the session ends.
pub(crate) async fn refresh(app: &App, token: &str, client: &Client) -> Result<Tokens, Error> {
    let hash = TokenHash::of(token);
    let turn = app.refresh_turns.turn(&hash).await;
    let access = app.access.borrow().clone();
    let mut outcome = exchange(app, &access, &hash).await?;
    if matches!(outcome, Outcome::NotLive)
        && let Some(access) = newer_generation(app, &access).await?
    {
        outcome = exchange(app, &access, &hash).await?;
    }
    drop(turn);
    match outcome {
        Outcome::Unknown | Outcome::NotLive => {
            app.session_metrics.count_refresh("refused");
            Err(Error::SessionRevoked)
        }
        Outcome::Stolen { user_id, session_id } => {
            app.session_metrics.count_refresh("stolen");
            app.session_metrics.count_ended("reuse", 1);
            audit::record("refresh_reuse_ended_session", Some(user_id), Some(session_id), client);
            Err(Error::SessionRevoked)
        }
        Outcome::Issued { user_id, tokens, reuse } => {
            app.session_metrics.count_refresh(reuse.unwrap_or("first_use"));
            if let Some(event) = reuse {
                audit::record(event, Some(user_id), Some(tokens.session_id), client);
            }
            Ok(tokens)
        }
    }
}

/// Everything is decided under the lock of the session's row: what ends the session takes it, too.
async fn exchange(app: &App, access: &Access, hash: &TokenHash) -> Result<Outcome, Error> {
    let mut transaction = app.pool.begin().await?;
    let Some(session_id) = refresh_tokens::find_session(&mut transaction, hash).await? else {
        return Ok(Outcome::Unknown);
    };
    let generation = access.revisions.session_generation;
    let Some(session) = sessions::lock(&mut transaction, session_id, generation).await? else {
        return Ok(Outcome::NotLive);
    };
    let Some(token) = refresh_tokens::find(&mut transaction, hash, GRACE).await? else {
        return Ok(Outcome::Unknown);
    };
    let user_id = session.user_id;
    let outcome = if token.was_used && !token.is_in_grace && token.is_succeeded {
        sessions::end(&mut transaction, user_id, session_id).await?;
        Outcome::Stolen { user_id, session_id }
    } else {
        let tokens = issue(app, access, &mut transaction, session_id, &session, &token).await?;
        let Some(tokens) = tokens else {
            return Ok(Outcome::Unknown);
        };
        Outcome::Issued { user_id, tokens, reuse: reuse(&token) }
    };
    transaction.commit().await?;
    Ok(outcome)
}

fn reuse(token: &PresentedToken) -> Option<&'static str> {
    let event = if token.is_in_grace { "refresh_reuse_in_grace" } else { "refresh_reuse_late" };
    token.was_used.then_some(event)
}

/// Exchanges a token of a locked session. `None` in the last second of the session, which is too
/// short for an access token.
async fn issue(
    app: &App,
    access: &Access,
    conn: &mut PgConnection,
    session_id: SessionId,
    session: &LockedSession,
    used: &PresentedToken,
) -> Result<Option<Tokens>, Error> {
    let now = app.clock.now();
    let ends_in = Duration::from_secs(session.ends_in_s.max(0.0) as u64);
    let refresh_ttl = app.sessions.refresh_token_ttl.min(ends_in);
    let longest = app.tokens.ttl.access_token_ttl.min(refresh_ttl);
    let expires_in = app.sessions.short_token_ttl.min(longest);
    if expires_in.is_zero() {
        return Ok(None);
    }
    let text = refresh_token::generate()?;
    refresh_tokens::mark_used(conn, session_id, used).await?;
    let expires_at = tokens::expiry(now, expires_in);
    let ttl = app.sessions.refresh_token_ttl;
    let number = sessions::renew(conn, session_id, ttl, expires_at).await?;
    let hash = &TokenHash::of(&text);
    let token = NewRefreshToken { hash, session_id, number, predecessor: Some(used.number), ttl };
    refresh_tokens::insert(conn, &token).await?;
    refresh_tokens::trim(conn, session_id, MAX_UNUSED, number - MAX_USED).await?;
    let subject = Subject { user_id: session.user_id, username: &session.username, session_id };
    let access_token = tokens::issue(&app.tokens, access, &subject, now, expires_in)?;
    Ok(Some(Tokens {
        session_id,
        access_token,
        expires_in,
        refresh_token: Some((text, refresh_ttl)),
    }))
}
