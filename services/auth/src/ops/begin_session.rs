//! Beginning a session.

use std::sync::Arc;
use std::time::Duration;

use super::verify_password::Verified;
use crate::access::Access;
use crate::app::App;
use crate::audit;
use crate::client::Client;
use crate::error::Error;
use crate::model::{NewRefreshToken, NewSession, Tokens};
use crate::refresh_token::{self, TokenHash};
use crate::store::{access_revision, log_ins, refresh_tokens, sessions};
use crate::tokens::{self, Subject};

/// Live sessions of a user. The oldest ends when there is one more.
const MAX_SESSIONS: i64 = 100;

/// What a session is to be.
pub(super) struct Wanted {
    /// True if the client can refresh.
    pub(super) refresh: bool,
    /// How long the session lives at most, if that is shorter than `SESSION_TTL`.
    pub(super) session_ttl: Duration,
}

/// Begins a session of a user. `None` if the user's password was right and is wrong by now, or the
/// user has been deactivated since.
pub(super) async fn begin_session(
    app: &App,
    verified: &Verified,
    client: &Client,
    wanted: &Wanted,
) -> Result<Option<Tokens>, Error> {
    let access = app.access.borrow().clone();
    if let Some(tokens) = begin(app, &access, verified, client, wanted).await? {
        return Ok(Some(tokens));
    }
    let Some(access) = newer_generation(app, &access).await? else {
        return Ok(None);
    };
    begin(app, &access, verified, client, wanted).await
}

/// Returns the access state from the database if all keys have been replaced at once since this one
/// was read: the keys in memory sign nothing that is accepted.
pub(super) async fn newer_generation(
    app: &App,
    known: &Access,
) -> Result<Option<Arc<Access>>, Error> {
    let mut conn = app.pool.acquire().await?;
    let revisions = access_revision::get(&mut conn).await?;
    if revisions.session_generation == known.revisions.session_generation {
        return Ok(None);
    }
    Ok(Some(Arc::new(Access::load(&mut conn).await?)))
}

/// `None` if the account has changed, or the keys are of an earlier generation. The generation is
/// compared after the keys were read and in the statement that begins the session, so that a
/// session of an earlier generation never gets a token of a later one.
async fn begin(
    app: &App,
    access: &Access,
    verified: &Verified,
    client: &Client,
    wanted: &Wanted,
) -> Result<Option<Tokens>, Error> {
    let Verified { account, credentials: user, renewed_hash } = verified;
    let now = app.clock.now();
    let ttls = Ttls::new(app, wanted);
    let session = NewSession {
        generation: access.revisions.session_generation,
        expires_in: ttls.refresh_token.unwrap_or(ttls.access_token),
        ends_in: if wanted.refresh { ttls.session } else { ttls.access_token },
        tokens_expire_at: tokens::expiry(now, ttls.access_token),
        refresh_token_count: i64::from(wanted.refresh),
        user_agent: client.user_agent.as_deref(),
        address: client.address.map(|address| address.to_string()),
    };
    let mut transaction = app.pool.begin().await?;
    let Some(session_id) = sessions::insert(&mut transaction, user, &session).await? else {
        return Ok(None);
    };
    let (network, renewed) = (client.network, renewed_hash.as_deref());
    log_ins::note_success(&mut transaction, *account, user.user_id, renewed, network).await?;
    let mut refresh_token = None;
    if let Some(ttl) = ttls.refresh_token {
        let text = refresh_token::generate()?;
        let (hash, number) = (&TokenHash::of(&text), 1);
        let token = NewRefreshToken { hash, session_id, number, predecessor: None, ttl };
        refresh_tokens::insert(&mut transaction, &token).await?;
        refresh_token = Some((text, ttl));
    }
    let ended = sessions::end_oldest(&mut transaction, user.user_id, MAX_SESSIONS).await?;
    let subject = Subject { user_id: user.user_id, username: &user.username, session_id };
    let access_token = tokens::issue(&app.tokens, access, &subject, now, ttls.access_token)?;
    transaction.commit().await?;
    for &session_id in &ended {
        audit::record("session_ended_by_limit", Some(user.user_id), Some(session_id), client);
    }
    app.session_metrics.count_ended("limit", ended.len());
    Ok(Some(Tokens { session_id, access_token, expires_in: ttls.access_token, refresh_token }))
}

/// How long a new session and its tokens live. None outlives the session, and no access token
/// `ACCESS_TOKEN_TTL`, for which a replaced key is still accepted.
struct Ttls {
    session: Duration,
    access_token: Duration,
    refresh_token: Option<Duration>,
}

impl Ttls {
    fn new(app: &App, wanted: &Wanted) -> Self {
        let config = &app.sessions;
        let session = config.session_ttl.min(wanted.session_ttl);
        let longest = app.tokens.ttl.access_token_ttl.min(session);
        let refresh_token = config.refresh_token_ttl.min(session);
        if wanted.refresh {
            let access_token = config.short_token_ttl.min(longest).min(refresh_token);
            Self { session, access_token, refresh_token: Some(refresh_token) }
        } else {
            Self { session, access_token: longest, refresh_token: None }
        }
    }
}
