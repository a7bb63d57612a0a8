//! The calls whose latency is compared.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt, TryStreamExt, stream};
use parlance_client::{Account, PASSWORD, Request};
use parlance_measure::Latencies;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bench::Bench;
use crate::http;
use crate::load::{open_loop, requests};
use crate::row::Measured;
use crate::setup::Group;
use crate::usage::ByPart;

/// Messages a second in all rooms together.
const RATE: u32 = 200;
/// Requests in flight: few, because latency is of interest, not throughput.
const CONNECTIONS: usize = 4;
/// Sockets that are being opened.
const OPENING: usize = 4;

/// What is called before and after the growth.
pub(super) struct Subjects<'a> {
    /// The rooms that are sent to, with all their members connected.
    pub(super) groups: &'a [Group],
    /// A room with a long history.
    pub(super) history: &'a Group,
}

impl Subjects<'_> {
    /// The 99th percentile of each call, in milliseconds.
    pub(super) async fn measure(
        &self,
        bench: &Bench<'_>,
    ) -> anyhow::Result<Vec<(&'static str, Measured)>> {
        let members = &self.history.members;
        let page = format!("/v1/messages/rooms/{}/history?limit=50", self.history.room);
        let before = format!("{page}&before_id={}", middle_id(bench, &page, &members[0]).await?);
        Ok(vec![
            ("send", sends(bench, self.groups).await?),
            ("newest page", gets(bench, &page, members).await?),
            ("page before an id", gets(bench, &before, members).await?),
            ("list of rooms", gets(bench, "/v1/rooms", &members[1..]).await?),
            ("list of contacts", gets(bench, "/v1/contacts", &members[..1]).await?),
            ("connect and subscribe", subscriptions(bench, self.groups).await?),
            ("log-in", log_ins(bench, members).await?),
        ])
    }
}

/// Sends at a steady rate; the latency is that of the delivery.
pub(super) async fn sends(bench: &Bench<'_>, groups: &[Group]) -> anyhow::Result<Measured> {
    let ready = open_loop::Ready::connect(&bench.setup, groups, RATE).await?;
    let (tally, usage) = bench.measure(bench.scale.duration, |window| ready.run(window)).await?;
    Ok(measured(tally.end_to_end, usage))
}

/// Repeats a request as each of the accounts in turn.
pub(super) async fn gets(
    bench: &Bench<'_>,
    path: &str,
    accounts: &[Account],
) -> anyhow::Result<Measured> {
    let requests = accounts.iter().map(|account| http::get(path, &account.token));
    repeat(bench, requests.collect::<Result<_, _>>()?).await
}

async fn log_ins(bench: &Bench<'_>, accounts: &[Account]) -> anyhow::Result<Measured> {
    let log_in = |account: &Account| {
        let body = json!({"username": account.username, "password": PASSWORD}).to_string();
        http::post("/v1/auth/login", body)
    };
    repeat(bench, accounts.iter().map(log_in).collect::<Result<_, _>>()?).await
}

async fn repeat(
    bench: &Bench<'_>,
    requests: Vec<::http::Request<http::Body>>,
) -> anyhow::Result<Measured> {
    let ready = requests::Ready::connect(bench.setup.gateways(), requests, CONNECTIONS).await?;
    let (tally, usage) = bench.measure(bench.scale.point, |window| ready.run(window)).await?;
    Ok(measured(tally.latencies, usage))
}

/// Opens a socket for each member and subscribes it to the member's room, a few at a time.
async fn subscriptions(bench: &Bench<'_>, groups: &[Group]) -> anyhow::Result<Measured> {
    let members = groups
        .iter()
        .flat_map(|group| group.members.iter().map(move |member| (group.room, member)));
    let times: Vec<Duration> = stream::iter(members.enumerate())
        .map(|(number, (room, member))| async move {
            let begin = Instant::now();
            let mut socket = bench.setup.connect(number, member).await?;
            socket.subscribe(room, None).await?;
            anyhow::Ok(begin.elapsed())
        })
        .buffer_unordered(OPENING)
        .try_collect()
        .await?;
    let mut latencies = Latencies::new();
    times.into_iter().for_each(|time| latencies.record(time));
    Ok(measured(latencies, ByPart::new()))
}

/// Returns an id in the newest page, before which most of the history lies.
async fn middle_id(bench: &Bench<'_>, page: &str, account: &Account) -> anyhow::Result<i64> {
    let request = Request::get(page).bearer(&account.token);
    let page: Value = bench.setup.client().send(request).await?.expect(200)?;
    page["messages"][0]["id"].as_i64().context("the newest page is empty")
}

fn measured(latencies: Latencies, usage: ByPart<crate::usage::Usage>) -> Measured {
    let figure = latencies.percentiles().map_or(f64::INFINITY, |percentiles| percentiles.p99);
    let operations = latencies.count();
    Measured { figure, operations, latencies: Some(latencies), usage }
}
