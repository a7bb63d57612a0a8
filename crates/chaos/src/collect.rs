//! What the store has at the end: messages through the public history, contacts and rooms through
//! the lists of everybody, and the numbers, which no list shows completely, from the database
//! itself.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::api::Person;
use crate::clients::World;
use crate::history::{History, StoredMessage, StoredRoom};

/// The greatest page of history.
const PAGE: usize = 100;

/// Adds the present state to what the clients have recorded.
pub(crate) async fn collect(
    database_url: &str,
    world: &World,
    history: &mut History,
) -> anyhow::Result<()> {
    for (room, members) in &world.rooms {
        let messages = read_messages(world, &world.people[members[0]], *room).await?;
        history.stored.insert(*room, StoredRoom { messages, ..StoredRoom::default() });
    }
    read_numbers(database_url, &mut history.stored).await.context("cannot read the numbers")?;
    let mut system_rooms = BTreeMap::new();
    for person in &world.people {
        read_contacts(world, person, &mut history.contacts).await?;
        read_system_rooms(world, person, &mut system_rooms).await?;
    }
    history.system_rooms = system_rooms.into_values().collect();
    Ok(())
}

async fn read_messages(
    world: &World,
    owner: &Person,
    room: i64,
) -> anyhow::Result<BTreeMap<i64, StoredMessage>> {
    let (mut messages, mut after) = (BTreeMap::new(), 1);
    loop {
        // Ids begin with 1, and so do cursors.
        let path = format!("/v1/messages/rooms/{room}/history?limit={PAGE}&after_id={after}");
        let page = world.api.get(owner, &path).await?;
        for message in list(&page, "messages")? {
            let (id, seq) = (number(message, "id")?, number(message, "seq")?);
            let content = message["content"].as_str().context("a message has content")?.to_owned();
            messages.insert(id, StoredMessage { seq, content });
            after = id;
        }
        if page["has_more"] != true {
            break;
        }
    }
    // Reading above id 1 leaves out a message with exactly this id.
    if let Some(first) = messages.keys().next().copied() {
        let path = format!("/v1/messages/rooms/{room}/history?limit={PAGE}&before_id={first}");
        for message in list(&world.api.get(owner, &path).await?, "messages")? {
            let content = message["content"].as_str().context("a message has content")?.to_owned();
            messages.insert(
                number(message, "id")?,
                StoredMessage { seq: number(message, "seq")?, content },
            );
        }
    }
    Ok(messages)
}

async fn read_numbers(
    database_url: &str,
    rooms: &mut BTreeMap<i64, StoredRoom>,
) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(database_url).await?;
    let numbers: Vec<(i64, i64, i64)> =
        sqlx::query_as("SELECT room_id, seq, change_seq FROM messaging.messages")
            .fetch_all(&mut connection)
            .await?;
    // Rooms of others are in the store, too.
    for (room, seq, change_seq) in numbers {
        if let Some(room) = rooms.get_mut(&room) {
            room.numbers.extend([seq, change_seq]);
        }
    }
    let heads: Vec<(i64, i64)> =
        sqlx::query_as("SELECT room_id, last_seq FROM messaging.room_heads")
            .fetch_all(&mut connection)
            .await?;
    for (room, head) in heads {
        if let Some(room) = rooms.get_mut(&room) {
            room.head = head;
        }
    }
    connection.close().await?;
    Ok(())
}

async fn read_contacts(
    world: &World,
    person: &Person,
    contacts: &mut BTreeSet<(i64, i64)>,
) -> anyhow::Result<()> {
    let lists = world.api.get(person, "/v1/contacts").await?;
    for contact in list(&lists, "contacts")? {
        contacts.insert(pair(person.id, number(&contact["other_user"], "id")?));
    }
    Ok(())
}

async fn read_system_rooms(
    world: &World,
    person: &Person,
    system_rooms: &mut BTreeMap<i64, (i64, i64)>,
) -> anyhow::Result<()> {
    let lists = world.api.get(person, "/v1/rooms").await?;
    for room in list(&lists, "rooms")?.iter().filter(|room| room["is_system"] == true) {
        let members = list(room, "members")?;
        let ids: Vec<i64> =
            members.iter().map(|member| number(&member["user"], "id")).collect::<Result<_, _>>()?;
        // With any other number of members it is nobody's system room, and the pair will be found
        // to have none.
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
    object[name].as_array().with_context(|| format!("no list `{name}` in an answer"))
}

fn number(object: &Value, name: &str) -> anyhow::Result<i64> {
    object[name].as_i64().with_context(|| format!("no number `{name}` in an answer"))
}
