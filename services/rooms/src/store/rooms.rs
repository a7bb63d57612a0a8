//! The table `rooms.rooms`.

use parlance_core::{RoomId, RoomName, Timestamp, UserId};
use sqlx::PgConnection;

use crate::model::{Kind, Member, Room, RoomSummary, RoomVersion, UserPair};

/// Adds a user room without members.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    name: &RoomName,
    owner: UserId,
    now: Timestamp,
) -> sqlx::Result<RoomId> {
    sqlx::query_scalar!(
        "INSERT INTO rooms.rooms (is_system, name, owner_id, created_at, updated_at)
         VALUES (FALSE, $1, $2, $3, $3)
         RETURNING id",
        name.as_str(),
        owner.get(),
        now,
    )
    .fetch_one(conn)
    .await
}

/// Adds a system room without members. `None` if the two users have one.
pub(crate) async fn insert_system(
    conn: &mut PgConnection,
    users: UserPair,
    now: Timestamp,
) -> sqlx::Result<Option<RoomId>> {
    sqlx::query_scalar!(
        "INSERT INTO rooms.rooms (is_system, system_low_id, system_high_id, created_at, updated_at)
         VALUES (TRUE, $1, $2, $3, $3)
         ON CONFLICT (system_low_id, system_high_id) WHERE system_low_id IS NOT NULL DO NOTHING
         RETURNING id",
        users.low.get(),
        users.high.get(),
        now,
    )
    .fetch_optional(conn)
    .await
}

/// Returns the system room of the two users. System rooms are never deleted.
pub(crate) async fn find_system(
    conn: &mut PgConnection,
    users: UserPair,
) -> sqlx::Result<Option<RoomId>> {
    sqlx::query_scalar!(
        "SELECT id FROM rooms.rooms WHERE system_low_id = $1 AND system_high_id = $2",
        users.low.get(),
        users.high.get(),
    )
    .fetch_optional(conn)
    .await
}

/// Gives the room a name. The name that it has changes nothing, not even `updated_at`.
pub(crate) async fn rename(
    conn: &mut PgConnection,
    id: RoomId,
    name: &RoomName,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE rooms.rooms
         SET name = $2, updated_at = GREATEST(updated_at, $3)
         WHERE id = $1 AND name IS DISTINCT FROM $2",
        id.get(),
        name.as_str(),
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Hands the room over.
pub(crate) async fn set_owner(
    conn: &mut PgConnection,
    id: RoomId,
    owner: UserId,
) -> sqlx::Result<()> {
    sqlx::query!("UPDATE rooms.rooms SET owner_id = $2 WHERE id = $1", id.get(), owner.get())
        .execute(conn)
        .await?;
    Ok(())
}

/// Locks the room until the transaction ends, so that other changes of it or its members wait.
/// Returns the owner, which a system room does not have. `None` if there is no such room.
pub(crate) async fn lock(
    conn: &mut PgConnection,
    id: RoomId,
) -> sqlx::Result<Option<Option<UserId>>> {
    sqlx::query_scalar!("SELECT owner_id FROM rooms.rooms WHERE id = $1 FOR UPDATE", id.get())
        .fetch_optional(conn)
        .await
}

/// Returns the room without its members, and true if the user is one of them.
pub(crate) async fn find_summary(
    conn: &mut PgConnection,
    id: RoomId,
    user: UserId,
) -> sqlx::Result<Option<(RoomSummary, bool)>> {
    let row = sqlx::query!(
        r#"
        SELECT
            room.id,
            room.name,
            room.owner_id,
            room.membership_version,
            room.member_count,
            room.created_at,
            room.updated_at,
            EXISTS (
                SELECT FROM rooms.members
                WHERE room_id = $1 AND user_id = $2
            ) AS "is_member!"
        FROM rooms.rooms AS room
        WHERE room.id = $1
        "#,
        id.get(),
        user.get(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| {
        let summary = RoomSummary {
            id: row.id,
            kind: Kind::from_columns(row.name, row.owner_id),
            version: RoomVersion(row.membership_version),
            member_count: member_count(row.member_count),
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        (summary, row.is_member)
    }))
}

/// Returns the room with its members.
pub(crate) async fn find(conn: &mut PgConnection, id: RoomId) -> sqlx::Result<Option<Room>> {
    Ok(list_by_ids(conn, &[id]).await?.pop().map(|(room, _)| room))
}

/// Returns the rooms that exist, oldest first, with members and versions from one snapshot.
pub(crate) async fn list_by_ids(
    conn: &mut PgConnection,
    ids: &[RoomId],
) -> sqlx::Result<Vec<(Room, RoomVersion)>> {
    let ids: Vec<i64> = ids.iter().copied().map(RoomId::get).collect();
    let rows = sqlx::query!(
        r#"
        SELECT
            room.id,
            room.name,
            room.owner_id,
            room.membership_version,
            room.created_at,
            room.updated_at,
            member.user_ids AS "user_ids!: Vec<UserId>",
            member.joined_at AS "joined_at!: Vec<Timestamp>"
        FROM rooms.rooms AS room
        CROSS JOIN LATERAL (
            SELECT ARRAY_AGG(user_id) AS user_ids, ARRAY_AGG(joined_at) AS joined_at
            FROM rooms.members
            WHERE room_id = room.id
        ) AS member
        WHERE room.id = ANY($1)
        ORDER BY room.id
        "#,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    let rooms = rows.into_iter().map(|row| {
        let members = row.user_ids.into_iter().zip(row.joined_at);
        let members = members.map(|(user_id, joined_at)| Member { user_id, joined_at });
        let mut members: Vec<Member> = members.collect();
        // Here, because sorting costs Postgres far more.
        let order = |member: &Member| {
            (Some(member.user_id) != row.owner_id, member.joined_at, member.user_id)
        };
        members.sort_unstable_by_key(order);
        let room = Room {
            id: row.id,
            kind: Kind::from_columns(row.name, row.owner_id),
            members: members.into(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        (room, RoomVersion(row.membership_version))
    });
    Ok(rooms.collect())
}

/// Returns all rooms of a user without their members, oldest first. The ids come from an array
/// because the planner expects few ids in one and looks each up. For a join it expects many, and
/// reads all rooms as long as there are only some thousands.
pub(crate) async fn list_summaries(
    conn: &mut PgConnection,
    user: UserId,
) -> sqlx::Result<Vec<RoomSummary>> {
    let rows = sqlx::query!(
        r#"
        SELECT
            room.id,
            room.name,
            room.owner_id,
            room.membership_version,
            room.member_count,
            room.created_at,
            room.updated_at
        FROM rooms.rooms AS room
        WHERE room.id = ANY(ARRAY(SELECT room_id FROM rooms.members WHERE user_id = $1))
        ORDER BY room.id
        "#,
        user.get(),
    )
    .fetch_all(conn)
    .await?;
    let summaries = rows.into_iter().map(|row| RoomSummary {
        id: row.id,
        kind: Kind::from_columns(row.name, row.owner_id),
        version: RoomVersion(row.membership_version),
        member_count: member_count(row.member_count),
        created_at: row.created_at,
        updated_at: row.updated_at,
    });
    Ok(summaries.collect())
}

/// The column is never negative.
fn member_count(column: i32) -> usize {
    usize::try_from(column).unwrap_or(0)
}

/// Increases the room version, for a change of the room's members.
pub(crate) async fn increase_version(
    conn: &mut PgConnection,
    id: RoomId,
    now: Timestamp,
) -> sqlx::Result<RoomVersion> {
    let version = sqlx::query_scalar!(
        "UPDATE rooms.rooms
         SET membership_version = membership_version + 1, updated_at = GREATEST(updated_at, $2)
         WHERE id = $1
         RETURNING membership_version",
        id.get(),
        now,
    )
    .fetch_one(conn)
    .await?;
    Ok(RoomVersion(version))
}

/// Deletes the room and its members. Returns the room version of this last change.
pub(crate) async fn delete(conn: &mut PgConnection, id: RoomId) -> sqlx::Result<RoomVersion> {
    let version = sqlx::query_scalar!(
        r#"DELETE FROM rooms.rooms WHERE id = $1 RETURNING membership_version + 1 AS "version!""#,
        id.get(),
    )
    .fetch_one(conn)
    .await?;
    Ok(RoomVersion(version))
}
