//! *Reads*: the HTTP requests of a client that starts, in requests a second.

use anyhow::Context as _;
use parlance_client::{Account, Request};
use serde_json::{Value, json};

use crate::baselines::pgbench::{self, Script};
use crate::baselines::{process, routes};
use crate::bench::Bench;
use crate::goal::Goal;
use crate::http;
use crate::load::requests::Ready;
use crate::load::sends::fill_room;
use crate::report::Findings;
use crate::row::{Baseline, Measured, Row};
use crate::scenario::Scenario;
use crate::setup::Group;

const CONNECTIONS: usize = 32;
const UNIT: &str = "requests/s";
/// Members of the room.
const MEMBERS: usize = 20;
/// Rooms of a member.
const ROOMS: usize = 20;
/// Contacts of a user.
const CONTACTS: usize = 50;
/// Messages of the room.
const MESSAGES: usize = 2_000;
/// Half of the selects a second that a quiet machine with two cores reaches.
const MIN_SELECTS: f64 = 7_500.0;

/// A request, and accounts whose responses have the same size.
struct Read {
    name: &'static str,
    path: String,
    accounts: Vec<Account>,
    goals: Vec<Goal>,
}

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let (group, reads) = prepare(bench).await?;
    let mut findings = Findings::default();
    for read in &reads {
        findings.rows.push(measure_read(bench, read).await?);
    }
    // The gateway caches the newest pages and no others.
    let newest = HistoryPage::newest(&group);
    let page: Value =
        serde_json::from_str(&response(bench, &newest.path, &group.members[0]).await?)?;
    let oldest = &page["messages"][0];
    let (id, seq) =
        oldest["id"].as_i64().zip(oldest["seq"].as_i64()).context("the newest page is empty")?;
    findings.rows.push(measure_history(bench, &group, &newest).await?);
    findings.rows.push(measure_history(bench, &group, &newest.before(id, seq)).await?);
    Ok(findings)
}

async fn prepare(bench: &Bench<'_>) -> anyhow::Result<(Group, Vec<Read>)> {
    let setup = &bench.setup;
    let group = setup.group(MEMBERS).await?;
    setup.rooms(&group.members, ROOMS - 1).await?;
    fill_room(setup, &group, MESSAGES).await?;
    let users = setup.accounts(CONTACTS + 1).await?;
    setup.contacts(&users[0], &users[1..]).await?;
    pgbench::settle(&bench.stack).await?;
    let read = |name, path: &str, accounts: &[Account], goal: Goal| Read {
        name,
        path: path.to_owned(),
        accounts: accounts.to_vec(),
        goals: vec![goal],
    };
    let reads = vec![
        read("me", "/v1/auth/me", &users[..CONNECTIONS], Goal::RatioAtLeast(0.6)),
        // Without the owner, who also has a system room with each other member.
        read("rooms: 20 of 20", "/v1/rooms", &group.members[1..], Goal::AtLeast(3_000.0)),
        read("contacts: 50", "/v1/contacts", &users[..1], Goal::AtLeast(3_000.0)),
    ];
    Ok((group, reads))
}

async fn measure_read(bench: &Bench<'_>, read: &Read) -> anyhow::Result<Row> {
    let body = response(bench, &read.path, &read.accounts[0]).await?;
    let (mut rounds, mut bare) = (Vec::new(), Vec::new());
    for round in 0..bench.scale.rounds {
        bench.step(Scenario::Reads, round, &format!("bare route, {}", read.name));
        bare.push(measure_bare_route(bench, &read.path, &body).await?);
        bench.step(Scenario::Reads, round, read.name);
        rounds.push(measure_gateway(bench, &read.path, &read.accounts).await?);
    }
    let baseline = Baseline::from_rounds("bare route, same bytes", &bare, None);
    let name = format!("{}: {}", Scenario::Reads.name(), read.name);
    let row = Row::new(name, UNIT, &rounds).with_baseline(baseline);
    Ok(row.with_goals(read.goals.iter().copied()))
}

/// A page of a room's history.
struct HistoryPage {
    name: String,
    path: String,
    /// All messages of the page have a lower `seq`.
    before_seq: i64,
}

impl HistoryPage {
    fn newest(group: &Group) -> Self {
        let path = format!("/v1/messages/rooms/{}/history?limit=50", group.room);
        Self { name: format!("history, newest 50 of {MESSAGES}"), path, before_seq: i64::MAX }
    }

    /// Returns the page before a message of the room.
    fn before(&self, id: i64, seq: i64) -> Self {
        let path = format!("{}&before_id={id}", self.path);
        Self { name: format!("history, 50 of {MESSAGES} before an id"), path, before_seq: seq }
    }
}

/// Measures a page beside Postgres.
async fn measure_history(
    bench: &Bench<'_>,
    group: &Group,
    page: &HistoryPage,
) -> anyhow::Result<Row> {
    let HistoryPage { name, path, before_seq } = page;
    let script = Script::history_page(group.room, *before_seq);
    let (mut rounds, mut selects) = (Vec::new(), Vec::new());
    for round in 0..bench.scale.rounds {
        bench.step(Scenario::Reads, round, &format!("pgbench, {name}"));
        selects.push(script.run(&bench.stack, bench.scale.point).await?);
        bench.step(Scenario::Reads, round, name);
        rounds.push(measure_gateway(bench, path, &group.members).await?);
    }
    let baseline = Baseline::new("pgbench: the same rows by index", selects, Some(MIN_SELECTS));
    Ok(Row::new(format!("{}: {name}", Scenario::Reads.name()), UNIT, &rounds)
        .with_baseline(baseline)
        .with_goals([Goal::RatioAtLeast(0.4)]))
}

async fn response(bench: &Bench<'_>, path: &str, account: &Account) -> anyhow::Result<String> {
    let response = bench.setup.client().send(Request::get(path).bearer(&account.token)).await?;
    response.expect(200)?;
    Ok(response.text)
}

async fn measure_gateway(
    bench: &Bench<'_>,
    path: &str,
    accounts: &[Account],
) -> anyhow::Result<Measured> {
    let requests = accounts.iter().map(|account| http::get(path, &account.token));
    let requests: Vec<_> = requests.collect::<Result<_, _>>()?;
    let ready = Ready::connect(bench.setup.gateways(), requests, CONNECTIONS).await?;
    let (tally, usage) = bench.measure(bench.scale.point, |window| ready.run(window)).await?;
    Ok(tally.into_measured(usage))
}

async fn measure_bare_route(bench: &Bench<'_>, path: &str, body: &str) -> anyhow::Result<Measured> {
    let bodies = json!({ path: body }).to_string();
    let server = process::Server::start(routes::COMMAND, &bodies).await?;
    let requests = [http::get(path, "ignored")?];
    let ready = Ready::connect(&[server.address], requests, CONNECTIONS).await?;
    let point = bench.scale.point;
    let (tally, usage) = bench.measure_baseline(&server, point, |window| ready.run(window)).await?;
    Ok(tally.into_measured(usage))
}
