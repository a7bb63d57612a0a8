//! Accounts and rooms of the scenario. The rooms that are too large to be made through the API are
//! written into the database.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use parlance_client::{Account, Client, Options};
use parlance_devstack::Stack;
use sqlx::{Connection, PgConnection};

pub(super) const ORDINARY: usize = 100;
/// Members of each room of the ordinary clients.
const GROUP: usize = 10;
/// Accounts that type in one room.
const TYPISTS: usize = 40;
/// Members of the room whose list the abusers want to read.
const BIG_ROOM_MEMBERS: i64 = 50_000;
/// Rooms that an abuser deletes.
const DOOMED_ROOMS: i64 = 20_000;
/// No account of the run has such a high id.
const FIRST_SYNTHETIC_USER: i64 = 1_000_000_000;
/// Log-ins in flight.
const CONCURRENCY: usize = 4;

/// What the scenario needs before it begins.
pub(super) struct Place {
    pub(super) gateway: SocketAddr,
    pub(super) ordinary: Vec<Account>,
    /// The room of each ordinary account.
    pub(super) rooms: Vec<i64>,
    pub(super) abuser: Account,
    /// The room of the abuser alone.
    pub(super) own_room: i64,
    pub(super) typists: Vec<Account>,
    /// The room of all typists.
    pub(super) typing_room: i64,
    /// The abuser is not a member.
    pub(super) big_room: i64,
    /// The abuser owns them.
    pub(super) doomed_rooms: Vec<i64>,
}

/// Returns the address of this machine from which an ordinary client connects.
pub(super) fn ordinary_address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, 1 + (number % 250) as u8)
}

/// The address of all abusers.
pub(super) const ABUSER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 1);

pub(super) async fn create(stack: &Stack, gateway: SocketAddr) -> anyhow::Result<Arc<Place>> {
    let local_addresses = (0..ORDINARY).map(ordinary_address).collect();
    let options = Options { local_addresses, ..Options::default() };
    let client = Client::with_options([gateway], options);
    let accounts = create_accounts(&client, "user", ORDINARY).await?;
    let mut rooms = Vec::new();
    for group in accounts.chunks(GROUP) {
        let room = create_room(&client, group).await?;
        rooms.extend(std::iter::repeat_n(room, group.len()));
    }
    let typists = create_accounts(&client, "typist", TYPISTS).await?;
    let typing_room = create_room(&client, &typists).await?;
    let abuser = client.create_account("abuser").await?;
    let own_room = client.create_room(&abuser, &[]).await?;
    let big_room = client.create_room(&typists[0], &[]).await?;
    let mut connection = PgConnection::connect(&stack.database_url()).await?;
    fill_big_room(&mut connection, big_room).await?;
    let doomed_rooms = create_doomed_rooms(&mut connection, abuser.user_id).await?;
    connection.close().await?;
    Ok(Arc::new(Place {
        gateway,
        ordinary: accounts,
        rooms,
        abuser,
        own_room,
        typists,
        typing_room,
        big_room,
        doomed_rooms,
    }))
}

async fn create_accounts(
    client: &Client,
    prefix: &str,
    count: usize,
) -> anyhow::Result<Vec<Account>> {
    let creating = stream::iter(0..count)
        .map(async |number| client.create_account(&format!("{prefix}{number}")).await);
    Ok(creating.buffered(CONCURRENCY).try_collect().await?)
}

/// Creates a room of all accounts. The first one owns it.
async fn create_room(client: &Client, members: &[Account]) -> anyhow::Result<i64> {
    let (owner, others) = (&members[0], members[1..].iter().collect::<Vec<_>>());
    for other in &others {
        client.make_contacts(owner, other).await?;
    }
    Ok(client.create_room(owner, &others).await?)
}

async fn fill_big_room(connection: &mut PgConnection, room: i64) -> anyhow::Result<()> {
    sqlx::query(
        "INSERT INTO rooms.members (room_id, user_id, joined_at)
         SELECT $1, $2 + number, now() FROM generate_series(1, $3) AS number",
    )
    .bind(room)
    .bind(FIRST_SYNTHETIC_USER)
    .bind(BIG_ROOM_MEMBERS)
    .execute(connection)
    .await?;
    Ok(())
}

async fn create_doomed_rooms(
    connection: &mut PgConnection,
    owner: i64,
) -> anyhow::Result<Vec<i64>> {
    let rooms = sqlx::query_scalar(
        "WITH created AS (
             INSERT INTO rooms.rooms (is_system, name, owner_id, created_at, updated_at)
             SELECT FALSE, 'Doomed', $1, now(), now() FROM generate_series(1, $2)
             RETURNING id
         ), owned AS (
             INSERT INTO rooms.members (room_id, user_id, joined_at)
             SELECT id, $1, now() FROM created
         )
         SELECT id FROM created",
    )
    .bind(owner)
    .bind(DOOMED_ROOMS)
    .fetch_all(connection)
    .await?;
    Ok(rooms)
}
