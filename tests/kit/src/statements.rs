//! The SQL statements that sqlx reports as tracing events.

use std::fmt::Debug;

use tracing::Event;
use tracing::field::{Field, Visit};

/// The beginnings of the statements that prepare a new connection.
const OF_CONNECTIONS: [&str; 2] =
    ["SET statement_timeout", "SELECT EXISTS ( SELECT system_identifier"];

/// Returns what sqlx reports of a statement: its first words, and the whole text if it has more.
/// `None` for other events, and for the statements that prepare a new connection, which a pool may
/// open at any time.
pub fn statement_of_call(event: &Event<'_>) -> Option<String> {
    #[derive(Default)]
    struct Text(String);
    impl Visit for Text {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            if matches!(field.name(), "summary" | "db.statement") {
                self.0.push_str(&format!("{value:?}"));
            }
        }

        fn record_str(&mut self, field: &Field, value: &str) {
            if matches!(field.name(), "summary" | "db.statement") {
                self.0.push_str(value);
            }
        }
    }

    if event.metadata().target() != "sqlx::query" {
        return None;
    }
    let mut text = Text::default();
    event.record(&mut text);
    let words = text.0.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_of_connection = OF_CONNECTIONS.iter().any(|statement| words.contains(statement));
    (!is_of_connection).then_some(words)
}
