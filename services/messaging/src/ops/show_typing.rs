//! Passing on that somebody is typing. Nothing is stored.

use parlance_core::ErrorCode;

use crate::app::App;
use crate::memberships::Question;
use crate::model::{Event, EventKind, TypingUser};

/// Shows the users as typing in the rooms of the questions, where they are members; the outcome for
/// each.
pub(crate) async fn show_typing(
    app: &App,
    questions: Vec<Question>,
    users: Vec<TypingUser>,
) -> Vec<Result<(), ErrorCode>> {
    let answers = match app.memberships.check_all(questions.clone()).await {
        Ok(answers) => answers,
        Err(code) => return questions.iter().map(|_| Err(code)).collect(),
    };
    let mut events = Vec::new();
    let mut outcomes = Vec::new();
    for ((question, user), answer) in questions.iter().zip(users).zip(answers) {
        if answer.is_ok() {
            let (room_id, kind) = (question.room_id, EventKind::Typing(user));
            events.push(Event { room_id, seq: 0, kind, traceparent: String::new() });
        }
        outcomes.push(answer.map(drop));
    }
    app.gateways.deliver(&events, Vec::new());
    app.bus.publish(&events);
    outcomes
}
