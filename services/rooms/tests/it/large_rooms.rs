//! Rooms with very many members, and work that takes all the connections it may have.

use std::time::Duration;

use futures_util::future::join_all;
use parlance_core::ErrorCode;
use parlance_proto::rooms::MembershipStatus;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use crate::app::{FRIEND, OTHER_USER, OWNER, TestApp, member_ids};

const MANY: i64 = 50_000;
/// The ids of the members that [`fill`] adds follow this one.
const FIRST_ID: i64 = 1_000;

/// Adds very many members to a room.
async fn fill(app: &TestApp, room_id: i64) {
    sqlx::query(
        "INSERT INTO rooms.members (room_id, user_id, joined_at)
         SELECT $1, $2 + number, TIMESTAMPTZ '2100-01-01' + number * INTERVAL '1 second'
         FROM GENERATE_SERIES(1, $3) AS number",
    )
    .bind(room_id)
    .bind(FIRST_ID)
    .bind(MANY)
    .execute(&mut app.database().await)
    .await
    .unwrap();
}

async fn member_count(app: &TestApp, room_id: i64) -> i32 {
    sqlx::query_scalar("SELECT member_count FROM rooms.rooms WHERE id = $1")
        .bind(room_id)
        .fetch_one(&mut app.database().await)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_of_fifty_thousand_is_shown_to_many_members_at_once() {
    let app = TestApp::start().await;
    let room_id = app.room_of_two().await;
    fill(&app, room_id).await;
    let members = join_all((0..32).map(|_| app.get_room(FRIEND, room_id)));
    let outsiders = join_all((0..32).map(|_| app.get_room(OTHER_USER, room_id)));
    let (members, outsiders) = tokio::join!(members, outsiders);
    for room in members {
        let ids = member_ids(&room.unwrap());
        assert_eq!(ids.len(), 2 + MANY as usize);
        assert_eq!(ids[..3], [OWNER, FRIEND, FIRST_ID + 1]);
        assert!(ids.is_sorted());
    }
    assert!(outsiders.into_iter().all(|refused| refused == Err(ErrorCode::NotAMember)));

    // A change is seen at once.
    app.remove_member(OWNER, room_id, Some(FIRST_ID + 1)).await.unwrap();
    let rooms = app.list_rooms(FRIEND).await;
    assert_eq!(member_ids(&rooms[1])[..3], [OWNER, FRIEND, FIRST_ID + 2]);
}

#[tokio::test]
async fn members_are_counted_whatever_changes_them() {
    let app = TestApp::start().await;
    let system_room = app.make_contacts(OWNER, FRIEND).await;
    assert_eq!(member_count(&app, system_room).await, 2);
    let room_id = app.room_of_two().await;
    assert_eq!(member_count(&app, room_id).await, 2);
    fill(&app, room_id).await;
    assert_eq!(i64::from(member_count(&app, room_id).await), 2 + MANY);
    app.leave_room(FRIEND, room_id).await.unwrap();
    app.remove_member(OWNER, room_id, Some(FIRST_ID + 1)).await.unwrap();
    app.add_members(OWNER, room_id, &[FRIEND]).await.unwrap();
    assert_eq!(i64::from(member_count(&app, room_id).await), 1 + MANY);
    app.delete_room(OWNER, room_id).await.unwrap();
    assert_eq!(member_count(&app, system_room).await, 2);
}

/// Locks the rows of rooms as a change does, until the transaction ends.
async fn lock(database: &mut PgConnection, room_ids: &[i64]) {
    sqlx::query("SELECT FROM rooms.rooms WHERE id = ANY($1) FOR UPDATE")
        .bind(room_ids)
        .execute(database)
        .await
        .unwrap();
}

/// Waits until as many statements wait for a lock.
async fn wait_for_waiting(app: &TestApp, expected: i64) {
    let mut database = app.database().await;
    let mut waiting: i64 = 0;
    while waiting < expected {
        waiting = sqlx::query_scalar(
            "SELECT COUNT(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut database)
        .await
        .unwrap();
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn memberships_are_checked_while_other_work_has_all_of_its_connections() {
    let app = TestApp::start().await;
    let other_room = app.room_of_two().await;
    let locked = join_all((0..20).map(|_| app.room_of_two())).await;
    let mut connection = app.database().await;
    let mut transaction = connection.begin().await.unwrap();
    lock(&mut transaction, &locked).await;

    let waiting = join_all(locked.iter().map(|&room_id| app.delete_room(OWNER, room_id)));
    let checking = async {
        wait_for_waiting(&app, 5).await;
        for _ in 0..20 {
            let checked = app.check_memberships(&[(other_room, FRIEND)]).await;
            assert_eq!(checked, Ok(vec![(MembershipStatus::Member, 1)]));
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(waiting, checking);
}

#[tokio::test]
async fn many_changes_of_one_room_leave_connections_for_others() {
    let app = TestApp::start().await;
    let (locked, other_room) = (app.room_of_two().await, app.room_of_two().await);
    let mut connection = app.database().await;
    let mut transaction = connection.begin().await.unwrap();
    lock(&mut transaction, &[locked]).await;

    let waiting = join_all((0..30).map(|_| app.remove_member(OWNER, locked, Some(FRIEND))));
    let others = async {
        wait_for_waiting(&app, 1).await;
        for _ in 0..20 {
            assert_eq!(app.get_room(FRIEND, other_room).await.unwrap().id, other_room);
            app.add_members(OWNER, other_room, &[FRIEND]).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
        transaction.rollback().await.unwrap();
    };
    tokio::join!(waiting, others);
}
