//! *Login*: how close log-ins come to what bcrypt leaves of the processor, and what a flood of them
//! does to messages.

use serde_json::json;

use super::{Bench, Scenario};
use crate::api::{Circle, PASSWORD, Person};
use crate::load::open_loop::{self, OpenLoop};
use crate::load::requests::{Requests, Tally};
use crate::report::Findings;
use crate::result::{Goal, Measured, Row, Yardstick};
use crate::stats::{Latencies, Percentiles};
use crate::usage::{ByPart, Usage, Window};
use crate::wire::http;
use crate::yardsticks::bcrypt;

/// The cost of the services' default configuration, in which this scenario's stack runs.
pub(super) const COST: u32 = 12;
/// They are registered at that cost, which takes long.
const PEOPLE: usize = 20;
/// Log-ins at once.
const CONNECTIONS: usize = 16;
/// Messages a second while people log in.
const RATE: u32 = 200;
/// Half of what was seen on a quiet machine of this kind.
const LEAST_CHECKS: f64 = 3.0;

/// The figures of all rounds.
#[derive(Default)]
struct Rounds {
    checks: Vec<f64>,
    log_ins: Vec<Measured>,
    /// The 99 % of deliveries without a flood, in milliseconds.
    quiet: Vec<f64>,
    flooded: Vec<Measured>,
}

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let people = bench.api.circle(PEOPLE).await?;
    let circles = circles_of(bench, &people).await?;
    let mut rounds = Rounds::default();
    for round in 0..bench.scale.rounds {
        bench.step(Scenario::Login, round, "bcrypt");
        rounds.checks.push(bcrypt::run(COST, window_of(bench).length()).await?);
        bench.step(Scenario::Login, round, "log-ins");
        let flood = flood(bench, &people.members).prepare().await?;
        let window = window_of(bench);
        let (tally, usage) = tokio::join!(flood.run(window), window.watch(&bench.stack));
        rounds.log_ins.push(of_log_ins(tally?, usage));
        bench.step(Scenario::Login, round, "messages without log-ins");
        let ready = deliveries(bench, &circles).prepare().await?;
        let tally = ready.run(window_of(bench)).await?;
        rounds.quiet.push(p99(tally.end_to_end.percentiles()));
        bench.step(Scenario::Login, round, "messages during a flood of log-ins");
        rounds.flooded.push(during_flood(bench, &people.members, &circles).await?);
    }
    rounds.into_findings()
}

/// Twice as long as others: few things happen in a second.
fn window_of(bench: &Bench<'_>) -> Window {
    Window::after(bench.scale.warm_up, 2 * bench.scale.duration)
}

/// As many rooms as the crowd has, all of the same few people.
async fn circles_of(bench: &Bench<'_>, people: &Circle) -> anyhow::Result<Vec<Circle>> {
    let rooms = bench.api.rooms(&people.members, bench.scale.circles).await?;
    Ok(rooms.into_iter().map(|room| Circle { room, members: people.members.clone() }).collect())
}

fn flood(bench: &Bench<'_>, people: &[Person]) -> Requests {
    let log_in = |person: &Person| {
        let body = json!({"username": person.name, "password": PASSWORD}).to_string();
        http::post("/v1/auth/login", &body)
    };
    Requests {
        servers: bench.api.gateways().to_vec(),
        requests: people.iter().map(log_in).collect(),
        connections: CONNECTIONS,
    }
}

fn deliveries<'a>(bench: &'a Bench<'_>, circles: &'a [Circle]) -> OpenLoop<'a> {
    OpenLoop { api: &bench.api, circles, rate: RATE }
}

async fn during_flood(
    bench: &Bench<'_>,
    people: &[Person],
    circles: &[Circle],
) -> anyhow::Result<Measured> {
    let ready = deliveries(bench, circles).prepare().await?;
    let flood = flood(bench, people).prepare().await?;
    let window = window_of(bench);
    let (tally, flood, usage) =
        tokio::join!(ready.run(window), flood.run(window), window.watch(&bench.stack));
    flood?;
    Ok(of_deliveries(tally?, usage))
}

fn of_log_ins(tally: Tally, usage: ByPart<Usage>) -> Measured {
    let (figure, operations) = (tally.rate(), tally.answered);
    Measured { figure, operations, latencies: Some(tally.latencies), usage }
}

fn of_deliveries(tally: open_loop::Tally, usage: ByPart<Usage>) -> Measured {
    let latencies: Latencies = tally.end_to_end;
    let figure = p99(latencies.percentiles());
    Measured { figure, operations: tally.deliveries, latencies: Some(latencies), usage }
}

fn p99(percentiles: Option<Percentiles>) -> f64 {
    percentiles.map_or(f64::INFINITY, |percentiles| percentiles.p99)
}

impl Rounds {
    fn into_findings(self) -> anyhow::Result<Findings> {
        let bound = Yardstick::new("bcrypt on all cores", self.checks, Some(LEAST_CHECKS));
        let without = Yardstick::new("without log-ins", self.quiet, None);
        let name = Scenario::Login.name();
        let log_ins = Row::new(name, "log-ins/s", &self.log_ins)?.beside(bound);
        let flooded =
            Row::new(format!("{name}: delivery during the flood"), "ms, p99", &self.flooded)?
                .beside(without);
        let mut findings = Findings::of(log_ins.with_goals([Goal::RatioAtLeast(0.95)]));
        let note = format!("{RATE} messages a second");
        findings.rows.push(flooded.with_goals([Goal::RatioAtMost(2.0)]).with_note(note));
        Ok(findings)
    }
}
