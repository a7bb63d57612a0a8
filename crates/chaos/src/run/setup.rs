//! Creates the users, contacts and rooms of a run.

use futures_util::{StreamExt, TryStreamExt, stream};
use parlance_client::{Account, Client};

use crate::clients::{Room, Target, World};
use crate::misbehaving::Accounts;
use crate::plan::Plan;

/// Requests in flight.
const CONCURRENCY: usize = 8;
/// Rooms that misbehaving clients are members of.
const BUSY_ROOMS: usize = 3;

/// Creates the users and rooms of a plan, and the accounts of misbehaving clients if it needs them.
pub(crate) async fn create_world(target: Target, plan: &Plan) -> anyhow::Result<World> {
    let client = &target.client;
    let account = async |number: usize| {
        client.create_account(&format!("{}{number}", target.username_prefix)).await
    };
    let number = plan.scale.users;
    let creating = stream::iter(0..number).map(&account);
    let users: Vec<Account> = creating.buffered(CONCURRENCY).try_collect().await?;
    let pair = if plan.has_misbehaving_clients() {
        Some((account(number).await?, account(number + 1).await?))
    } else {
        None
    };
    let creating = plan.rooms.iter().enumerate().map(|(index, members)| {
        let reader = pair.as_ref().map(|(_, reader)| reader).filter(|_| index < BUSY_ROOMS);
        create_room(client, &users, members, reader)
    });
    let rooms: Vec<Room> = stream::iter(creating).buffered(CONCURRENCY).try_collect().await?;
    let misbehaving = match pair {
        Some((sender, reader)) => Some(create_misbehaving(client, sender, reader, &rooms).await?),
        None => None,
    };
    Ok(World::new(target, users, rooms, misbehaving))
}

async fn create_room(
    client: &Client,
    users: &[Account],
    members: &[usize],
    reader: Option<&Account>,
) -> anyhow::Result<Room> {
    let owner = &users[members[0]];
    let others: Vec<&Account> =
        members[1..].iter().map(|index| &users[*index]).chain(reader).collect();
    for other in &others {
        client.make_contacts(owner, other).await?;
    }
    let id = client.create_room(owner, &others).await?;
    Ok(Room { id, members: members.to_vec() })
}

async fn create_misbehaving(
    client: &Client,
    sender: Account,
    reader: Account,
    rooms: &[Room],
) -> anyhow::Result<Accounts> {
    client.make_contacts(&sender, &reader).await?;
    let own_room = client.create_room(&sender, &[&reader]).await?;
    let busy_rooms = rooms.iter().take(BUSY_ROOMS).map(|room| room.id).collect();
    Ok(Accounts { reader, sender, own_room, busy_rooms })
}
