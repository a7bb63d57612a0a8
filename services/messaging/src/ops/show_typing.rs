//! Delivering signs that users are typing. Nothing is stored.

use parlance_core::ErrorCode;

use crate::app::App;
use crate::clients::memberships::Check;
use crate::encode;
use crate::model::{Event, EventKind, TypingUser};

/// Shows the users as typing in rooms where they are members. Returns the result for each check.
pub(crate) async fn show_typing(
    app: &App,
    checks: Vec<Check>,
    users: Vec<TypingUser>,
) -> Vec<Result<(), ErrorCode>> {
    let memberships = app.memberships.check_all(checks.clone()).await;
    let mut events = Vec::new();
    let mut results = Vec::new();
    for ((check, user), membership) in checks.iter().zip(users).zip(memberships) {
        if membership.is_ok() {
            let (room_id, kind) = (check.room_id, EventKind::Typing(user));
            let event = Event { room_id, seq: 0, kind, traceparent: String::new() };
            events.push(encode::event(event));
        }
        results.push(membership.map(drop));
    }
    app.streams.deliver(&events, Vec::new());
    app.pubsub.publish(&events);
    results
}
