//! The table `rooms.rooms`.

use parlance_core::{RoomId, RoomName, Timestamp, UserId};
use sqlx::PgConnection;

use crate::model::{Authority, Kind, Member, Pair, Room, RoomHead, RoomVersion};

/// Adds a user room, without members.
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

/// Adds a system room, without members, unless the two have one.
pub(crate) async fn insert_system(
    conn: &mut PgConnection,
    pair: Pair,
    now: Timestamp,
) -> sqlx::Result<Option<RoomId>> {
    sqlx::query_scalar!(
        "INSERT INTO rooms.rooms (is_system, system_low_id, system_high_id, created_at, updated_at)
         VALUES (TRUE, $1, $2, $3, $3)
         ON CONFLICT (system_low_id, system_high_id) WHERE system_low_id IS NOT NULL DO NOTHING
         RETURNING id",
        pair.low.get(),
        pair.high.get(),
        now,
    )
    .fetch_optional(conn)
    .await
}

/// The system room of the two, which never goes away once it is there.
pub(crate) async fn find_system(
    conn: &mut PgConnection,
    pair: Pair,
) -> sqlx::Result<Option<RoomId>> {
    sqlx::query_scalar!(
        "SELECT id FROM rooms.rooms WHERE system_low_id = $1 AND system_high_id = $2",
        pair.low.get(),
        pair.high.get(),
    )
    .fetch_optional(conn)
    .await
}

/// Makes every other change of the room or its members wait for the end of this transaction.
pub(crate) async fn lock(conn: &mut PgConnection, id: RoomId) -> sqlx::Result<Option<Authority>> {
    let owner =
        sqlx::query_scalar!("SELECT owner_id FROM rooms.rooms WHERE id = $1 FOR UPDATE", id.get())
            .fetch_optional(conn)
            .await?;
    Ok(owner.map(|owner| owner.map_or(Authority::Nobody, Authority::Owner)))
}

/// The room with its members.
pub(crate) async fn find(conn: &mut PgConnection, id: RoomId) -> sqlx::Result<Option<Room>> {
    Ok(find_all(conn, &[id]).await?.pop().map(|(room, _)| room))
}

/// Those of the rooms that exist, oldest first, with their members and versions, from one snapshot.
pub(crate) async fn find_all(
    conn: &mut PgConnection,
    ids: &[RoomId],
) -> sqlx::Result<Vec<(Room, RoomVersion)>> {
    let ids: Vec<i64> = ids.iter().copied().map(RoomId::get).collect();
    let rows = sqlx::query_as!(
        Row,
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
            SELECT
                ARRAY_AGG(user_id ORDER BY user_id = room.owner_id DESC, joined_at, user_id) AS user_ids,
                ARRAY_AGG(joined_at ORDER BY user_id = room.owner_id DESC, joined_at, user_id) AS joined_at
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
    Ok(rows.into_iter().map(<(Room, RoomVersion)>::from).collect())
}

/// All rooms of a user without their members, oldest first. Of an array the planner expects a few
/// rooms and looks each up; of a join with a user of whom it knows nothing it expects more, and
/// reads all rooms there are while these are some thousands.
pub(crate) async fn heads_of_member(
    conn: &mut PgConnection,
    user: UserId,
) -> sqlx::Result<Vec<RoomHead>> {
    let rows = sqlx::query!(
        r#"
        SELECT
            room.id,
            room.name,
            room.owner_id,
            room.membership_version,
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
    let heads = rows.into_iter().map(|row| RoomHead {
        id: row.id,
        kind: Kind::of(row.name, row.owner_id),
        version: RoomVersion(row.membership_version),
        created_at: row.created_at,
        updated_at: row.updated_at,
    });
    Ok(heads.collect())
}

/// Gives the number of a change of the room's members.
pub(crate) async fn count_membership_change(
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

/// Deletes the room and its members, and gives this last change of its members a number.
pub(crate) async fn delete(conn: &mut PgConnection, id: RoomId) -> sqlx::Result<RoomVersion> {
    let version = sqlx::query_scalar!(
        r#"DELETE FROM rooms.rooms WHERE id = $1 RETURNING membership_version + 1 AS "version!""#,
        id.get(),
    )
    .fetch_one(conn)
    .await?;
    Ok(RoomVersion(version))
}

/// A room as the statement above selects it; the two lists run in parallel.
struct Row {
    id: RoomId,
    name: Option<String>,
    owner_id: Option<UserId>,
    membership_version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
    user_ids: Vec<UserId>,
    joined_at: Vec<Timestamp>,
}

impl From<Row> for (Room, RoomVersion) {
    fn from(row: Row) -> Self {
        let members = row.user_ids.into_iter().zip(row.joined_at);
        let room = Room {
            id: row.id,
            kind: Kind::of(row.name, row.owner_id),
            members: members.map(|(user_id, joined_at)| Member { user_id, joined_at }).collect(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        (room, RoomVersion(row.membership_version))
    }
}
