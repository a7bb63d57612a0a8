//! Fills the tables with SQL: the API would need hours.
//!
//! Nothing here touches a room, or a user, that a running process already knows: each is created
//! first, filled next and used last.

use anyhow::Context;
use parlance_client::Account;
use parlance_devstack::{Progress, Stack};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::baselines::pgbench::PARLANCE;
use crate::scale::Growth;

/// The messages of one statement.
const MESSAGES_AT_ONCE: u64 = 500_000;

/// Users who never log in. `$first` and `$last` of the other statements are ids of them.
const USERS: &str = "
    INSERT INTO auth.users (username, folded_username, password_hash, created_at, updated_at)
    SELECT 'filler' || number, 'filler' || number, '', now(), now()
    FROM generate_series(1, $users) AS number";

/// A room for each of them, with two others.
const ROOMS: &str = "
    INSERT INTO rooms.rooms (is_system, name, owner_id, created_at, updated_at)
    SELECT FALSE, 'filler', id, now(), now()
    FROM auth.users
    WHERE username LIKE 'filler%';
    INSERT INTO rooms.members (room_id, user_id, joined_at)
    SELECT room.id, member.id, now()
    FROM rooms.rooms AS room
    JOIN auth.users AS member ON member.id BETWEEN room.owner_id AND room.owner_id + 2
    WHERE room.name = 'filler' AND member.username LIKE 'filler%';
    INSERT INTO messaging.room_heads (room_id, last_seq, last_at)
    SELECT id, 0, now()
    FROM rooms.rooms
    WHERE name = 'filler'";

/// Many rooms and contacts of one user, and the rooms that they share.
const BUSY_USER: &str = "
    INSERT INTO rooms.members (room_id, user_id, joined_at)
    SELECT id, $busy, now()
    FROM rooms.rooms
    WHERE name = 'filler'
    ORDER BY id
    LIMIT $count;
    INSERT INTO contacts.pairs (low_id, high_id, state, inviter_id, invited_at, contacts_since)
    SELECT $busy, id, 'contacts', id, now(), now()
    FROM auth.users
    WHERE username LIKE 'filler%' AND id > $busy
    ORDER BY id
    LIMIT $count;
    INSERT INTO rooms.rooms (is_system, system_low_id, system_high_id, created_at, updated_at)
    SELECT TRUE, low_id, high_id, now(), now()
    FROM contacts.pairs
    WHERE low_id = $busy;
    INSERT INTO rooms.members (room_id, user_id, joined_at)
    SELECT room.id, member.id, now()
    FROM rooms.rooms AS room
    CROSS JOIN LATERAL unnest(ARRAY[room.system_low_id, room.system_high_id]) AS member (id)
    WHERE room.system_low_id = $busy";

/// Further members of a room.
const MEMBERS: &str = "
    INSERT INTO rooms.members (room_id, user_id, joined_at)
    SELECT $room, id, now()
    FROM auth.users
    WHERE username LIKE 'filler%'
    ORDER BY id
    LIMIT $count";

/// As many messages in each room of a range.
const MESSAGES: &str = "
    INSERT INTO messaging.messages (
        room_id, seq, change_seq, sender_id, sender_name, client_msg_id, content,
        created_at, updated_at
    )
    SELECT
        room_id, seq, seq, $sender, 'filler', 'c:' || gen_random_uuid(), repeat('x', 64),
        now(), now()
    FROM messaging.room_heads
    CROSS JOIN generate_series(1, $count) AS seq
    WHERE room_id BETWEEN $first AND $last";

const HEADS: &str = "
    UPDATE messaging.room_heads SET last_seq = $count WHERE room_id BETWEEN $first AND $last";

/// A connection that may write to all schemas.
pub(super) struct Filler<'a> {
    connection: PgConnection,
    progress: &'a Progress,
}

impl<'a> Filler<'a> {
    pub(super) async fn connect(stack: &Stack, progress: &'a Progress) -> anyhow::Result<Self> {
        Ok(Self { connection: stack.postgres().connect(PARLANCE).await?, progress })
    }

    pub(super) async fn close(self) -> anyhow::Result<()> {
        Ok(self.connection.close().await?)
    }

    /// Creates users, a room for each, and messages in these rooms.
    pub(super) async fn users_rooms_and_messages(
        &mut self,
        sender: &Account,
        growth: Growth,
    ) -> anyhow::Result<()> {
        self.progress.step(&format!("growth: creating {} users and rooms", growth.rooms));
        self.run(USERS, &[("users", growth.rooms)]).await?;
        self.run(ROOMS, &[]).await?;
        let bounds = "SELECT min(id), max(id) FROM rooms.rooms WHERE name = 'filler'";
        let (first, last): (i64, i64) =
            sqlx::query_as(bounds).fetch_one(&mut self.connection).await?;
        let (first, last) = (first.cast_unsigned(), last.cast_unsigned());
        let per_room = growth.messages.div_ceil(growth.rooms);
        let step = (MESSAGES_AT_ONCE / per_room).max(1);
        for begin in (first..=last).step_by(usize::try_from(step)?) {
            let stored = (begin - first) * per_room;
            let of = growth.messages;
            self.progress.step(&format!("growth: message {stored} of {of}"));
            let end = last.min(begin + step - 1);
            self.messages(sender, begin..=end, per_room).await?;
        }
        Ok(())
    }

    /// Gives rooms, of which nobody has sent anything, as many messages each.
    pub(super) async fn messages(
        &mut self,
        sender: &Account,
        rooms: std::ops::RangeInclusive<u64>,
        count: u64,
    ) -> anyhow::Result<()> {
        let sender = sender.user_id.cast_unsigned();
        let values = [
            ("count", count),
            ("first", *rooms.start()),
            ("last", *rooms.end()),
            ("sender", sender),
        ];
        self.run(MESSAGES, &values).await?;
        self.run(HEADS, &values).await
    }

    /// Creates the row that numbers the messages of a new room, and gives it messages.
    pub(super) async fn history(
        &mut self,
        owner: &Account,
        room: i64,
        count: u64,
    ) -> anyhow::Result<()> {
        let room = room.cast_unsigned();
        let head = "INSERT INTO messaging.room_heads (room_id, last_at) VALUES ($room, now())";
        self.run(head, &[("room", room)]).await?;
        self.messages(owner, room..=room, count).await
    }

    /// Makes a user a member of many rooms, and a contact of many users.
    pub(super) async fn busy_user(&mut self, user: &Account, count: u64) -> anyhow::Result<()> {
        self.progress.step(&format!("growth: creating {count} rooms and contacts of a user"));
        let values = [("busy", user.user_id.cast_unsigned()), ("count", count)];
        self.run(BUSY_USER, &values).await
    }

    /// Adds members to a room.
    pub(super) async fn members(&mut self, room: i64, count: u64) -> anyhow::Result<()> {
        self.progress.step(&format!("growth: adding {count} members to a room"));
        self.run(MEMBERS, &[("room", room.cast_unsigned()), ("count", count)]).await
    }

    /// Runs statements in which each `$name` stands for a number.
    async fn run(&mut self, statements: &str, values: &[(&str, u64)]) -> anyhow::Result<()> {
        let mut text = statements.to_owned();
        for (name, value) in values {
            text = text.replace(&format!("${name}"), &value.to_string());
        }
        self.connection.execute(AssertSqlSafe(text)).await.context("cannot fill the tables")?;
        Ok(())
    }
}
