//! Reads what the store has at the end: messages through the public history, contacts and rooms
//! through the lists of all users. The numbers of deleted messages come from the database itself,
//! because no list shows them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use parlance_client::{Account, endpoints};
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::clients::World;
use crate::history::{History, StoredMessage, StoredRoom};

/// The longest page of history.
const PAGE: usize = 100;

/// Adds the final state to what the clients have recorded.
pub(crate) async fn read_final_state(
    database_url: &str,
    world: &World,
    history: &mut History,
) -> anyhow::Result<()> {
    for room in &world.rooms {
        let messages = read_messages(world, &world.users[room.members[0]], room.id).await?;
        history.stored.insert(room.id, StoredRoom { messages, ..StoredRoom::default() });
    }
    read_numbers(database_url, &mut history.stored).await.context("cannot read the numbers")?;
    let mut system_rooms = BTreeMap::new();
    for user in &world.users {
        read_user(world, user, &mut history.contacts, &mut system_rooms).await?;
    }
    history.system_rooms = system_rooms.into_values().collect();
    Ok(())
}

async fn read_messages(
    world: &World,
    owner: &Account,
    room: i64,
) -> anyhow::Result<BTreeMap<i64, StoredMessage>> {
    let mut messages = BTreeMap::new();
    // The lowest id, and so the lowest cursor, is 1.
    let mut after = 1;
    loop {
        let query = format!("limit={PAGE}&after_id={after}");
        let page = world.get(endpoints::history(&owner.token, room, &query)).await?;
        add_messages(&page, &mut messages)?;
        if page["has_more"] != true {
            break;
        }
        after = messages.keys().last().copied().context("a page without messages has more")?;
    }
    // The pages after id 1 leave out a message with this id.
    if let Some(first) = messages.keys().next().copied() {
        let query = format!("limit={PAGE}&before_id={first}");
        let page = world.get(endpoints::history(&owner.token, room, &query)).await?;
        add_messages(&page, &mut messages)?;
    }
    Ok(messages)
}

fn add_messages(page: &Value, messages: &mut BTreeMap<i64, StoredMessage>) -> anyhow::Result<()> {
    for message in list(page, "messages")? {
        let content = message["content"].as_str().context("a message has no content")?.to_owned();
        let seq = number(message, "seq")?;
        messages.insert(number(message, "id")?, StoredMessage { seq, content });
    }
    Ok(())
}

async fn read_numbers(
    database_url: &str,
    rooms: &mut BTreeMap<i64, StoredRoom>,
) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(database_url).await?;
    let seqs: Vec<(i64, i64, i64)> =
        sqlx::query_as("SELECT room_id, seq, change_seq FROM messaging.messages")
            .fetch_all(&mut connection)
            .await?;
    // The store also has rooms that do not belong to the run.
    for (room, seq, change_seq) in seqs {
        if let Some(room) = rooms.get_mut(&room) {
            room.seqs.extend([seq, change_seq]);
        }
    }
    let last_seqs: Vec<(i64, i64)> =
        sqlx::query_as("SELECT room_id, last_seq FROM messaging.room_heads")
            .fetch_all(&mut connection)
            .await?;
    for (room, last_seq) in last_seqs {
        if let Some(room) = rooms.get_mut(&room) {
            room.last_seq = last_seq;
        }
    }
    connection.close().await?;
    Ok(())
}

/// Adds the contacts and the system rooms of a user.
async fn read_user(
    world: &World,
    user: &Account,
    contacts: &mut BTreeSet<(i64, i64)>,
    system_rooms: &mut BTreeMap<i64, (i64, i64)>,
) -> anyhow::Result<()> {
    let lists = world.get(endpoints::contacts(&user.token)).await?;
    for contact in list(&lists, "contacts")? {
        contacts.insert(pair(user.user_id, number(&contact["other_user"], "id")?));
    }
    let lists = world.get(endpoints::rooms(&user.token)).await?;
    for room in list(&lists, "rooms")?.iter().filter(|room| room["is_system"] == true) {
        let members = list(room, "members")?.iter();
        let ids: Vec<i64> =
            members.map(|member| number(&member["user"], "id")).collect::<Result<_, _>>()?;
        // A system room without exactly two members is not counted, so that its pair has none.
        if let [one, other] = ids[..] {
            system_rooms.insert(number(room, "id")?, pair(one, other));
        }
    }
    Ok(())
}

fn pair(one: i64, other: i64) -> (i64, i64) {
    (one.min(other), one.max(other))
}

fn list<'a>(object: &'a Value, name: &str) -> anyhow::Result<&'a Vec<Value>> {
    object[name].as_array().with_context(|| format!("an answer has no list `{name}`"))
}

fn number(object: &Value, name: &str) -> anyhow::Result<i64> {
    object[name].as_i64().with_context(|| format!("an answer has no number `{name}`"))
}
