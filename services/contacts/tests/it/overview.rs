//! Listing the invitations and contacts of a user.

use std::cell::Cell;

use parlance_testkit::statement_of_call;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::app::{ALICE, TestApp};

thread_local! {
    static STATEMENTS: Cell<usize> = const { Cell::new(0) };
}

/// Counts the statements that sqlx reports, by thread: a single-threaded test runs the service on a
/// thread of its own. Leaves out the claims of outbox rows, which the background task makes all the
/// time.
struct StatementCounter;

impl<S: Subscriber> Layer<S> for StatementCounter {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if statement_of_call(event).is_some_and(|text| !text.contains("UPDATE contacts.outbox")) {
            STATEMENTS.set(STATEMENTS.get() + 1);
        }
    }
}

#[tokio::test]
async fn two_hundred_contacts_are_listed_by_one_statement_and_in_order() {
    // Global, because the first thread that reaches a log statement decides whether it is enabled.
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(StatementCounter))
        .unwrap();

    let app = TestApp::start_without_rooms().await;
    let mut database = app.database().await;
    for (state, others) in [("contacts", "2, 201"), ("invited", "202, 250")] {
        let statement = format!(
            "INSERT INTO contacts.pairs
                 (low_id, high_id, state, inviter_id, invited_at, contacts_since)
             SELECT
                 1, other, '{state}', 1 + (other - 1) * (other % 2), now(),
                 CASE '{state}' WHEN 'contacts' THEN now() END
             FROM GENERATE_SERIES({others}) AS other"
        );
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut database).await.unwrap();
    }

    let before = STATEMENTS.get();
    let list = app.list(ALICE).await;
    assert_eq!(STATEMENTS.get() - before, 1);
    assert!(list.contacts.iter().map(|contact| contact.other_user_id).eq(2..=201));
    assert!(list.sent.iter().map(|invitation| invitation.to_user_id).eq((202..=250).step_by(2)));
    assert!(
        list.received.iter().map(|invitation| invitation.from_user_id).eq((203..=250).step_by(2))
    );
}
