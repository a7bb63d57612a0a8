//! The audit log: one line for each event, and no secret in it.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::sync::{LazyLock, Mutex};

use parlance_proto::auth::{
    ClientInfo, EndOtherSessionsRequest, EndSessionRequest, LogOutRequest, RefreshRequest,
};
use parlance_runtime::context::RequestContext;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::app::{Auth, PASSWORD, caller, refresh_token};
use crate::refresh::end_grace;
use crate::statements;

static LINES: LazyLock<Mutex<HashMap<String, Vec<String>>>> = LazyLock::new(Mutex::default);

/// Keeps the audit lines of each request.
pub(crate) struct AuditLines;

impl<S: Subscriber> Layer<S> for AuditLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(context) = RequestContext::current() else {
            return;
        };
        if event.metadata().target() == "audit" {
            let mut line = Line::default();
            event.record(&mut line);
            LINES.lock().unwrap().entry(context.request_id.to_string()).or_default().push(line.0);
        }
    }
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "message" {
            write!(self.0, "{}={value:?} ", field.name()).unwrap();
        }
    }
}

/// Makes a call under a request id that no other test uses. Returns its result and its audit lines.
async fn lines_of<T>(request_id: &str, call: impl Future<Output = T>) -> (T, Vec<String>) {
    let (result, _) = statements::count(request_id, call).await;
    (result, LINES.lock().unwrap().remove(request_id).unwrap_or_default())
}

fn client() -> Option<ClientInfo> {
    Some(ClientInfo {
        address: "192.0.2.1".to_owned(),
        user_agent: Some("Test/1".to_owned()),
        ..ClientInfo::default()
    })
}

/// The line of an event that a client with the address and the `User-Agent` above has caused.
fn line(event: &str, user_id: i64, session_id: i64) -> String {
    format!(
        "event={event:?} user.id={user_id} session.id={session_id} client.address=192.0.2.1 \
         user_agent=\"Test/1\" "
    )
}

#[tokio::test]
async fn log_ins_log_outs_and_revocations_are_audited() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await.id;
    let log_in = async |request_id: &str| {
        let call = auth.log_in_as("anna", PASSWORD, true, client());
        let (tokens, lines) = lines_of(request_id, call).await;
        let session_id = tokens.unwrap().session_id;
        assert_eq!(lines, [line("log_in", anna, session_id)]);
        session_id
    };
    let sessions = [log_in("audit 1").await, log_in("audit 2").await, log_in("audit 3").await];

    let request = EndSessionRequest { user_id: anna, session_id: sessions[0], client: client() };
    let (_, lines) = lines_of("audit 4", auth.grpc().end_session(request)).await;
    assert_eq!(lines, [line("session_revoked", anna, sessions[0])]);

    let caller = Some(caller(anna, Some(sessions[1])));
    let request = EndOtherSessionsRequest { caller: caller.clone(), client: client() };
    let (_, lines) = lines_of("audit 5", auth.grpc().end_other_sessions(request)).await;
    assert_eq!(lines, [line("session_revoked", anna, sessions[2])]);

    let request = LogOutRequest { caller, client: client() };
    let (_, lines) = lines_of("audit 6", auth.grpc().log_out(request)).await;
    assert_eq!(lines, [line("log_out", anna, sessions[1])]);
}

#[tokio::test]
async fn every_use_of_a_used_refresh_token_is_audited_without_the_token() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await.id;
    let tokens = auth.log_in_to_refresh("anna").await;
    let session_id = tokens.session_id;
    let refresh = async |request_id: &str, token: &str| {
        let request = RefreshRequest { refresh_token: token.to_owned(), client: client() };
        let (answer, lines) = lines_of(request_id, auth.grpc().refresh(request)).await;
        (answer.map(|answer| answer.into_inner().tokens.unwrap()), lines)
    };
    let first = refresh_token(&tokens);
    let (successor, lines) = refresh("audit 11", first).await;
    assert!(lines.is_empty(), "{lines:?}");
    let (_, lines) = refresh("audit 12", first).await;
    assert_eq!(lines, [line("refresh_reuse_in_grace", anna, session_id)]);
    end_grace(&auth).await;
    let (_, lines) = refresh("audit 13", first).await;
    assert_eq!(lines, [line("refresh_reuse_late", anna, session_id)]);
    refresh("audit 14", refresh_token(&successor.unwrap())).await.0.unwrap();
    let (refused, lines) = refresh("audit 15", first).await;
    refused.unwrap_err();
    assert_eq!(lines, [line("refresh_reuse_ended_session", anna, session_id)]);
}
