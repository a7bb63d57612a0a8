//! A session that has ended gets nothing once every gateway must have learned of its end.

use super::recovery::RECOVERY_TIMEOUT;
use super::rule::Rule;
use super::verdict::Verdict;
use crate::history::{EndedSession, FaultRecord, History};

/// How long after the answer to the call that ends a session it may still be served, in
/// microseconds.
const GRACE: i64 = 1_000_000;
/// A gateway that hears nothing from auth refuses all requests with tokens after this time, in
/// microseconds. Until then it may not know what has ended.
const MAX_SILENCE: i64 = 5_000_000;
/// How long a client may take to notice that its socket is closed, in microseconds.
const CLOSING_TIME: i64 = 1_000_000;

pub(super) fn check(history: &History, verdict: &mut Verdict) {
    let faults = history.faults.iter().filter(|fault| fault.delays_ends_of_sessions);
    let mut faults: Vec<&FaultRecord> = faults.collect();
    faults.sort_unstable_by_key(|fault| fault.begun_at);
    for session in &history.ended_sessions {
        check_session(session, &faults, verdict);
    }
}

fn check_session(session: &EndedSession, faults: &[&FaultRecord], verdict: &mut Verdict) {
    let EndedSession { user, session: id, answered_at, .. } = session;
    let mut report = |what: &str, at: i64| {
        let late_ms = (at - answered_at) / 1_000;
        let example = || format!("session {id} of user {user}: {what} {late_ms} ms after its end");
        verdict.add(Rule::AfterSessionEnd, example);
    };
    let until = known_at(*answered_at, faults);
    let last_request = until.min(answered_at + GRACE + MAX_SILENCE);
    for at in session.served.iter().filter(|at| **at > last_request) {
        report("a request that began was answered", *at);
    }
    for at in session.delivered.iter().filter(|at| **at > until) {
        report("a message was delivered that was committed", *at);
    }
    let open_until = session.closed_at.unwrap_or(session.watched_until);
    if open_until > until + CLOSING_TIME {
        report("its socket was open", open_until);
    }
}

/// Returns when every gateway must know that a session has ended: later if a fault keeps one from
/// auth, or did shortly before. Faults are in the order in which they began.
fn known_at(answered_at: i64, faults: &[&FaultRecord]) -> i64 {
    let recovery = i64::try_from(RECOVERY_TIMEOUT.as_micros()).unwrap_or(i64::MAX);
    faults.iter().fold(answered_at + GRACE, |known_at, fault| {
        if fault.begun_at <= known_at { known_at.max(fault.ended_at + recovery) } else { known_at }
    })
}
