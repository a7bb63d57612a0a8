//! *Reads*: what a client asks for over HTTP when it starts, requests a second.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Bench, Scenario};
use crate::api::{Circle, Person};
use crate::load::requests::{Requests, Tally};
use crate::load::sends::fill_room;
use crate::report::Findings;
use crate::result::{Goal, Measured, Row, Yardstick, show};
use crate::usage::{ByPart, Usage, Window};
use crate::wire::{HttpConnection, http};
use crate::yardsticks::pgbench::{self, Script};
use crate::yardsticks::{child, routes};

const CONNECTIONS: usize = 32;
const UNIT: &str = "requests/s";
/// Members of a room, rooms of a member, contacts of a person, messages of a room.
const MEMBERS: usize = 20;
const ROOMS: usize = 20;
const CONTACTS: usize = 50;
const MESSAGES: usize = 2_000;
/// Half of what pgbench was seen to select on a quiet machine of this kind.
const LEAST_SELECTS: f64 = 7_500.0;

/// Something that is asked for, by people for whom the answer is the same in size.
struct Read {
    name: &'static str,
    path: String,
    people: Vec<Person>,
    goals: Vec<Goal>,
}

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let (circle, reads) = prepare(bench).await?;
    let mut findings = Findings::default();
    for read in &reads {
        findings.rows.push(beside_a_bare_route(bench, read).await?);
    }
    // The gateway remembers the newest pages, and no others.
    let newest = HistoryPage::newest(&circle);
    let page: Value =
        serde_json::from_str(&body_of(bench, &newest.path, &circle.members[0]).await?)?;
    let oldest = &page["messages"][0];
    let (id, seq) =
        oldest["id"].as_i64().zip(oldest["seq"].as_i64()).context("the newest page is empty")?;
    findings.rows.push(history(bench, &circle, &newest).await?);
    findings.rows.push(history(bench, &circle, &newest.before(id, seq)).await?);
    Ok(findings)
}

async fn prepare(bench: &Bench<'_>) -> anyhow::Result<(Circle, Vec<Read>)> {
    let api = &bench.api;
    let circle = api.circle(MEMBERS).await?;
    api.rooms(&circle.members, ROOMS - 1).await?;
    fill_room(api, &circle, MESSAGES).await?;
    let sociable = api.people(CONTACTS + 1).await?;
    api.befriend(&sociable[0], &sociable[1..]).await?;
    pgbench::analyze(&bench.stack).await?;
    let read = |name, path: &str, people: &[Person], goals: &[Goal]| Read {
        name,
        path: path.to_owned(),
        people: people.to_vec(),
        goals: goals.to_vec(),
    };
    let reads = vec![
        read("me", "/v1/auth/me", &sociable[..CONNECTIONS], &[Goal::RatioAtLeast(0.6)]),
        // Not the owner, who has a room with each of the others, too.
        read("rooms: 20 of 20", "/v1/rooms", &circle.members[1..], &[Goal::AtLeast(3_000.0)]),
        read("contacts: 50", "/v1/contacts", &sociable[..1], &[Goal::AtLeast(3_000.0)]),
    ];
    Ok((circle, reads))
}

async fn beside_a_bare_route(bench: &Bench<'_>, read: &Read) -> anyhow::Result<Row> {
    let body = body_of(bench, &read.path, &read.people[0]).await?;
    let (mut rounds, mut bare) = (Vec::new(), Vec::new());
    for round in 0..bench.scale.rounds {
        bench.step(Scenario::Reads, round, &format!("bare route, {}", read.name));
        bare.push(of_bare_route(bench, &read.path, &body).await?);
        bench.step(Scenario::Reads, round, read.name);
        rounds.push(of_gateway(bench, &read.path, &read.people).await?);
    }
    let yardstick = Yardstick::served("bare route, same bytes", &bare, None);
    let name = format!("{}: {}", Scenario::Reads.name(), read.name);
    Ok(Row::new(name, UNIT, &rounds)?.beside(yardstick).with_goals(read.goals.iter().copied()))
}

/// A page of a room's history.
struct HistoryPage {
    name: String,
    path: String,
    /// The messages have lower numbers.
    below: i64,
}

impl HistoryPage {
    fn newest(circle: &Circle) -> Self {
        let path = format!("/v1/messages/rooms/{}/history?limit=50", circle.room);
        Self { name: format!("history, newest 50 of {MESSAGES}"), path, below: i64::MAX }
    }

    /// The one before a message of the room.
    fn before(&self, id: i64, seq: i64) -> Self {
        let path = format!("{}&before_id={id}", self.path);
        Self { name: format!("history, 50 of {MESSAGES} before an id"), path, below: seq }
    }
}

/// Beside both of its yardsticks: the goal is about Postgres.
async fn history(bench: &Bench<'_>, circle: &Circle, page: &HistoryPage) -> anyhow::Result<Row> {
    let HistoryPage { name, path, below } = page;
    let body = body_of(bench, path, &circle.members[0]).await?;
    let script = Script::page_of_history(circle.room, *below);
    let (mut rounds, mut figures, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..bench.scale.rounds {
        bench.step(Scenario::Reads, round, &format!("pgbench, {name}"));
        figures.push(script.run(&bench.stack, bench.scale.point).await?);
        bench.step(Scenario::Reads, round, &format!("bare route, {name}"));
        let without_query = path.split('?').next().unwrap_or(path);
        bare.push(of_bare_route(bench, without_query, &body).await?);
        bench.step(Scenario::Reads, round, name);
        rounds.push(of_gateway(bench, path, &circle.members).await?);
    }
    let yardstick = Yardstick::new("pgbench: the same rows by index", figures, Some(LEAST_SELECTS));
    let name = format!("{}: {name}", Scenario::Reads.name());
    let row =
        Row::new(name, UNIT, &rounds)?.beside(yardstick).with_goals([Goal::RatioAtLeast(0.4)]);
    let bare = Yardstick::served("bare route", &bare, None).figure().unwrap_or_default();
    Ok(row.with_note(format!("a bare route gives the same bytes {} times a second", show(bare))))
}

async fn body_of(bench: &Bench<'_>, path: &str, person: &Person) -> anyhow::Result<String> {
    let mut connection = HttpConnection::open(bench.api.door(0).address).await?;
    let body = connection.exchange(&http::get(path, &person.token)).await?;
    Ok(String::from_utf8(body.to_vec())?)
}

async fn of_gateway(bench: &Bench<'_>, path: &str, people: &[Person]) -> anyhow::Result<Measured> {
    let requests = people.iter().map(|person| http::get(path, &person.token)).collect();
    let servers = bench.api.gateways().to_vec();
    let ready = Requests { servers, requests, connections: CONNECTIONS }.prepare().await?;
    let window = Window::after(bench.scale.warm_up, bench.scale.point);
    let (tally, usage) = tokio::join!(ready.run(window), window.watch(&bench.stack));
    Ok(measured(tally?, usage))
}

async fn of_bare_route(bench: &Bench<'_>, path: &str, body: &str) -> anyhow::Result<Measured> {
    let bodies = json!({ path: body }).to_string();
    let server = child::Yardstick::start(routes::COMMAND, &bodies).await?;
    let (servers, requests) = (vec![server.address], vec![http::get(path, "nobody looks at this")]);
    let ready = Requests { servers, requests, connections: CONNECTIONS }.prepare().await?;
    let window = Window::after(bench.scale.warm_up, bench.scale.point);
    let (tally, usage) =
        tokio::join!(ready.run(window), window.watch_process("bare route", server.id));
    Ok(measured(tally?, usage))
}

fn measured(tally: Tally, usage: ByPart<Usage>) -> Measured {
    let (figure, operations) = (tally.rate(), tally.answered);
    Measured { figure, operations, latencies: Some(tally.latencies), usage }
}
