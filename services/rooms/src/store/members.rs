//! The table `rooms.members`.

use parlance_core::{RoomId, Timestamp, UserId};
use sqlx::PgConnection;

use crate::model::{Answer, Candidate, MembershipStatus, Question, RoomVersion};

/// Adds users, none of whom is a member yet.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    room: RoomId,
    users: &[UserId],
    now: Timestamp,
) -> sqlx::Result<()> {
    let users: Vec<i64> = users.iter().copied().map(UserId::get).collect();
    sqlx::query!(
        "INSERT INTO rooms.members (room_id, user_id, joined_at)
         SELECT $1, new.user_id, $3 FROM UNNEST($2::BIGINT[]) AS new (user_id)",
        room.get(),
        &users,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Removes a member. False if the user is not a member.
pub(crate) async fn delete(
    conn: &mut PgConnection,
    room: RoomId,
    user: UserId,
) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "DELETE FROM rooms.members WHERE room_id = $1 AND user_id = $2",
        room.get(),
        user.get(),
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() > 0)
}

/// Returns true if the user is a member.
pub(crate) async fn contains(
    conn: &mut PgConnection,
    room: RoomId,
    user: UserId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
            SELECT FROM rooms.members WHERE room_id = $1 AND user_id = $2
        ) AS "is_member!""#,
        room.get(),
        user.get(),
    )
    .fetch_one(conn)
    .await
}

/// Returns the users in the order given, with what decides whether they may be added. Two users are
/// contacts if they share a system room.
pub(crate) async fn list_candidates(
    conn: &mut PgConnection,
    room: RoomId,
    owner: UserId,
    users: &[UserId],
) -> sqlx::Result<Vec<Candidate>> {
    let users: Vec<i64> = users.iter().copied().map(UserId::get).collect();
    sqlx::query_as!(
        Candidate,
        r#"
        SELECT
            candidate.user_id AS "user_id!: UserId",
            EXISTS (
                SELECT FROM rooms.members
                WHERE room_id = $1 AND user_id = candidate.user_id
            ) AS "is_member!",
            EXISTS (
                SELECT FROM rooms.rooms
                WHERE system_low_id = LEAST($2, candidate.user_id)
                  AND system_high_id = GREATEST($2, candidate.user_id)
            ) AS "is_contact_of_owner!"
        FROM UNNEST($3::BIGINT[]) WITH ORDINALITY AS candidate (user_id, place)
        ORDER BY candidate.place
        "#,
        room.get(),
        owner.get(),
        &users,
    )
    .fetch_all(conn)
    .await
}

/// Answers all questions in their order, from one snapshot.
pub(crate) async fn check(
    conn: &mut PgConnection,
    questions: &[Question],
) -> sqlx::Result<Vec<Answer>> {
    let rooms: Vec<i64> = questions.iter().map(|question| question.room_id.get()).collect();
    let users: Vec<i64> = questions.iter().map(|question| question.user_id.get()).collect();
    let rows = sqlx::query!(
        r#"
        SELECT
            room.membership_version AS "membership_version?",
            member.user_id IS NOT NULL AS "is_member!",
            room.owner_id IS NOT DISTINCT FROM question.user_id AS "is_owner!"
        FROM UNNEST($1::BIGINT[], $2::BIGINT[])
            WITH ORDINALITY AS question (room_id, user_id, place)
        LEFT JOIN rooms.rooms AS room ON room.id = question.room_id
        LEFT JOIN rooms.members AS member
            ON member.room_id = question.room_id AND member.user_id = question.user_id
        ORDER BY question.place
        "#,
        &rooms,
        &users,
    )
    .fetch_all(conn)
    .await?;
    let answers = rows.into_iter().map(|row| Answer {
        status: match (row.membership_version, row.is_member, row.is_owner) {
            (None, _, _) => MembershipStatus::RoomNotFound,
            (Some(_), false, _) => MembershipStatus::NotMember,
            (Some(_), true, false) => MembershipStatus::Member,
            (Some(_), true, true) => MembershipStatus::Owner,
        },
        room_version: RoomVersion(row.membership_version.unwrap_or(0)),
    });
    Ok(answers.collect())
}
