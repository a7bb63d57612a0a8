//! *Login*: the rate of log-ins beside the processor's rate of bcrypt, and the delivery of messages
//! during a flood of log-ins.

use std::time::Duration;

use parlance_client::{Account, PASSWORD};
use parlance_measure::Percentiles;
use serde_json::json;

use crate::baselines::bcrypt;
use crate::bench::{Bench, DEFAULT_PASSWORD_COST};
use crate::goal::Goal;
use crate::http;
use crate::load::open_loop;
use crate::load::requests;
use crate::report::Findings;
use crate::row::{Baseline, Measured, Row};
use crate::scenario::Scenario;
use crate::setup::Group;

/// Few, because each registration hashes a password at the default cost.
const ACCOUNTS: usize = 20;
/// Log-ins in flight.
const CONNECTIONS: usize = 16;
/// Messages a second, with and without log-ins.
const RATE: u32 = 200;
/// Half of what a quiet machine with two cores reaches.
const MIN_CHECKS: f64 = 3.0;

/// The figures of all rounds.
#[derive(Default)]
struct Rounds {
    checks: Vec<f64>,
    log_ins: Vec<Measured>,
    /// The 99th percentile of deliveries without log-ins, in milliseconds.
    quiet: Vec<f64>,
    flooded: Vec<Measured>,
}

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let users = bench.setup.group(ACCOUNTS).await?;
    let groups = create_groups(bench, &users).await?;
    let step = |round, what| bench.step(Scenario::Login, round, what);
    // Twice as long as in other scenarios: there are few log-ins a second.
    let duration = 2 * bench.scale.duration;
    let mut rounds = Rounds::default();
    for round in 0..bench.scale.rounds {
        step(round, "bcrypt");
        rounds.checks.push(bcrypt::run(DEFAULT_PASSWORD_COST, duration).await?);
        step(round, "log-ins");
        let flood = flood(bench, &users.members).await?;
        let (tally, usage) = bench.measure(duration, |window| flood.run(window)).await?;
        rounds.log_ins.push(tally.into_measured(usage));
        step(round, "messages without log-ins");
        let ready = open_loop::Ready::connect(&bench.setup, &groups, RATE).await?;
        let (tally, _) = bench.measure(duration, |window| ready.run(window)).await?;
        rounds.quiet.push(p99(tally.end_to_end.percentiles()));
        step(round, "messages during a flood of log-ins");
        rounds.flooded.push(during_flood(bench, &users.members, &groups, duration).await?);
    }
    Ok(rounds.into_findings())
}

/// Creates as many groups as other scenarios have, of the same few accounts.
async fn create_groups(bench: &Bench<'_>, users: &Group) -> anyhow::Result<Vec<Group>> {
    let rooms = bench.setup.rooms(&users.members, bench.scale.groups).await?;
    Ok(rooms.into_iter().map(|room| Group { room, members: users.members.clone() }).collect())
}

async fn flood(bench: &Bench<'_>, accounts: &[Account]) -> anyhow::Result<requests::Ready> {
    let log_in = |account: &Account| {
        let body = json!({"username": account.username, "password": PASSWORD}).to_string();
        http::post("/v1/auth/login", body)
    };
    let requests = accounts.iter().map(log_in).collect::<Result<Vec<_>, _>>()?;
    requests::Ready::connect(bench.setup.gateways(), requests, CONNECTIONS).await
}

async fn during_flood(
    bench: &Bench<'_>,
    accounts: &[Account],
    groups: &[Group],
    duration: Duration,
) -> anyhow::Result<Measured> {
    let ready = open_loop::Ready::connect(&bench.setup, groups, RATE).await?;
    let flood = flood(bench, accounts).await?;
    let load = async |window| {
        let (tally, flood) = tokio::join!(ready.run(window), flood.run(window));
        flood?;
        tally
    };
    let (tally, usage) = bench.measure(duration, load).await?;
    let figure = p99(tally.end_to_end.percentiles());
    let latencies = Some(tally.end_to_end);
    Ok(Measured { figure, operations: tally.deliveries, latencies, usage })
}

fn p99(percentiles: Option<Percentiles>) -> f64 {
    percentiles.map_or(f64::INFINITY, |percentiles| percentiles.p99)
}

impl Rounds {
    fn into_findings(self) -> Findings {
        let name = Scenario::Login.name();
        let bcrypt = Baseline::new("bcrypt on all cores", self.checks, Some(MIN_CHECKS));
        let log_ins = Row::new(name, "log-ins/s", &self.log_ins)
            .with_baseline(bcrypt)
            .with_goals([Goal::RatioAtLeast(0.95)]);
        let name = format!("{name}: delivery during the flood");
        let flooded = Row::new(name, "ms, p99", &self.flooded)
            .with_baseline(Baseline::new("without log-ins", self.quiet, None))
            .with_goals([Goal::RatioAtMost(2.0)])
            .with_note(format!("{RATE} messages a second"));
        let mut findings = Findings::from_row(log_ins);
        findings.rows.push(flooded);
        findings
    }
}
