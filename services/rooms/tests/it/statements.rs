//! The number of SQL statements of a call does not depend on the amount of data.

use std::cell::Cell;
use std::sync::Once;

use parlance_core::ErrorCode;
use parlance_testkit::statement_of_call;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::app::{FRIEND, OTHER_USER, OWNER, TestApp};

thread_local! {
    static STATEMENTS: Cell<usize> = const { Cell::new(0) };
}

/// Counts the statements that sqlx reports, by thread: a single-threaded test runs the service on a
/// thread of its own.
struct StatementCounter;

impl<S: Subscriber> Layer<S> for StatementCounter {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if statement_of_call(event).is_some() {
            STATEMENTS.set(STATEMENTS.get() + 1);
        }
    }
}

async fn count<T>(call: impl Future<Output = T>) -> (usize, T) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(StatementCounter);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    let before = STATEMENTS.get();
    let result = call.await;
    (STATEMENTS.get() - before, result)
}

#[tokio::test]
async fn the_number_of_statements_does_not_grow_with_rooms_members_or_questions() {
    let app = TestApp::start().await;
    let friends: Vec<i64> = (2..=20).collect();
    for &friend in &friends {
        app.make_contacts(OWNER, friend).await;
    }
    let (for_one_friend, _) = count(app.create_room(OWNER, &friends[..1])).await;
    assert!(for_one_friend > 0);
    for _ in 0..49 {
        let (for_many_friends, created) = count(app.create_room(OWNER, &friends)).await;
        assert_eq!(created.room.unwrap().members.len(), 20);
        assert_eq!(for_many_friends, for_one_friend);
    }

    // The first list reads the members of all rooms with a second statement.
    let (statements, rooms) = count(app.list_rooms(OWNER)).await;
    assert_eq!(rooms.len(), 19 + 50);
    assert_eq!(statements, 2);
    let (statements, again) = count(app.list_rooms(OWNER)).await;
    assert_eq!(again, rooms);
    assert_eq!(statements, 1);
    let questions: Vec<(i64, i64)> = rooms.iter().map(|room| (room.id, OWNER)).collect();
    let (statements, answers) = count(app.check_memberships(&questions)).await;
    assert_eq!(answers.unwrap().len(), questions.len());
    assert_eq!(statements, 1);
}

#[tokio::test]
async fn the_members_of_a_room_are_read_for_its_members_only_and_once() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    let system_room = app.make_contacts(OWNER, FRIEND).await;
    let (statements, refused) = count(app.get_room(OTHER_USER, room_id)).await;
    assert_eq!((statements, refused.unwrap_err()), (1, ErrorCode::NotAMember));
    for (user, room_id, expected) in [
        (FRIEND, room_id, ErrorCode::NotTheOwner),
        (OTHER_USER, room_id, ErrorCode::NotTheOwner),
        (OWNER, system_room, ErrorCode::SystemRoom),
        (OWNER, 999, ErrorCode::RoomNotFound),
    ] {
        let (statements, refused) = count(app.add_members(user, room_id, &[OTHER_USER])).await;
        assert_eq!((statements, refused.unwrap_err()), (1, expected));
    }

    let (statements, room) = count(app.get_room(FRIEND, room_id)).await;
    assert_eq!(statements, 2);
    let (statements, again) = count(app.get_room(OWNER, room_id)).await;
    assert_eq!((statements, again.unwrap()), (1, room.unwrap()));
}
