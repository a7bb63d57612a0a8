//! The audit log: one line with the target `audit` for each event that an investigation asks for.
//! It never holds a secret. The id of the request is in every line that a request causes.

use parlance_core::{SessionId, UserId};

use crate::client::Client;

/// Records an event, such as `log_out`, of a user and a session, as far as they are known.
pub(crate) fn record(
    event: &'static str,
    user_id: Option<UserId>,
    session_id: Option<SessionId>,
    client: &Client,
) {
    tracing::info!(
        target: "audit",
        event,
        user.id = user_id.map(UserId::get),
        session.id = session_id.map(SessionId::get),
        client.address = client.address.map(tracing::field::display),
        user_agent = client.user_agent.as_deref(),
        "audit: {event}"
    );
}

/// Records what came of the token of a trusted issuer.
pub(crate) fn record_exchange(
    event: &'static str,
    issuer: &str,
    reason: Option<&(dyn std::error::Error + 'static)>,
    user_id: Option<UserId>,
    session_id: Option<SessionId>,
    client: &Client,
) {
    tracing::info!(
        target: "audit",
        event,
        issuer,
        reason,
        user.id = user_id.map(UserId::get),
        session.id = session_id.map(SessionId::get),
        client.address = client.address.map(tracing::field::display),
        user_agent = client.user_agent.as_deref(),
        "audit: {event}"
    );
}

/// Records what an operator's command did.
pub(crate) fn record_command(event: &'static str, user_id: Option<UserId>) {
    let user_id = user_id.map(UserId::get);
    tracing::info!(target: "audit", event, user.id = user_id, "audit: {event}");
}

/// Records an event that was refused, such as `log_in_failed`, and why.
pub(crate) fn record_refusal(
    event: &'static str,
    reason: &'static str,
    user_id: Option<UserId>,
    client: &Client,
) {
    tracing::info!(
        target: "audit",
        event,
        reason,
        user.id = user_id.map(UserId::get),
        client.address = client.address.map(tracing::field::display),
        user_agent = client.user_agent.as_deref(),
        "audit: {event}"
    );
}
