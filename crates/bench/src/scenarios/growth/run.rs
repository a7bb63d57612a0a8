//! The order of the scenario.

use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;

use super::fill::Filler;
use super::measure::{self, Subjects};
use crate::baselines::pgbench::{self, PARLANCE};
use crate::bench::{Bench, GROUP_SIZE};
use crate::goal::Goal;
use crate::report::Findings;
use crate::row::{Baseline, Measured, Row};
use crate::scenario::Scenario;
use crate::setup::Group;

const UNIT: &str = "ms, p99";
/// The messages in the room whose pages are read, before the growth.
const FEW_MESSAGES: u64 = 10_000;
/// How much slower a call may become.
const MAX_RATIO: f64 = 1.5;
/// How much slower sends may be while a backup is made.
const MAX_RATIO_DURING_BACKUP: f64 = 2.0;

/// The measurements of one call in all rounds.
struct Call {
    name: &'static str,
    rounds: Vec<Measured>,
}

/// The tables cannot shrink again, so that all rounds before the growth come first.
pub(in crate::scenarios) async fn run(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let growth = bench.scale.growth;
    let groups = bench.groups().await?;
    let mut filler = Filler::connect(&bench.stack, bench.progress).await?;

    let small = bench.setup.group(GROUP_SIZE).await?;
    filler.history(&small.members[0], small.room, FEW_MESSAGES).await?;
    let before = measure(bench, "before", Subjects { groups, history: &small }).await?;

    // The busy user's id is the lower one of each pair.
    let busy = bench.setup.accounts(1).await?;
    filler.users_rooms_and_messages(&small.members[0], growth).await?;
    filler.busy_user(&busy[0], growth.busy).await?;
    let crowd = bench.setup.group(GROUP_SIZE).await?;
    filler.members(crowd.room, growth.members).await?;
    let large = bench.setup.group(GROUP_SIZE).await?;
    bench.progress.step("growth: filling a room");
    filler.history(&large.members[0], large.room, growth.messages / 10).await?;
    filler.close().await?;

    let after = measure(bench, "after", Subjects { groups, history: &large }).await?;
    let quiet: Vec<f64> = before[0].rounds.iter().map(|round| round.figure).collect();
    let mut findings = Findings::default();
    for (before, after) in before.into_iter().zip(after) {
        findings.rows.push(row(after.name, &after.rounds, "before the growth", figures(&before)));
    }
    bench.progress.step("growth: sends to a room with many members");
    let crowded = measure::sends(bench, std::slice::from_ref(&crowd)).await?;
    let name = "send to a room with many members";
    findings.rows.push(row(name, &[crowded], "before the growth, to small rooms", quiet.clone()));
    for (name, path) in
        [("rooms of a busy user", "/v1/rooms"), ("contacts of a busy user", "/v1/contacts")]
    {
        bench.progress.step(&format!("growth: {name}"));
        let measured = measure::gets(bench, path, &busy).await?;
        findings.rows.push(Row::new(full_name(name), UNIT, &[measured]));
    }
    let during_backup = during_backup(bench, groups).await?;
    let sends = findings.rows[0].figures.clone();
    findings.rows.push(
        Row::new(full_name("send during pg_dump"), UNIT, &[during_backup])
            .with_baseline(Baseline::new("after the growth, without pg_dump", sends, None))
            .with_goals([Goal::RatioAtMost(MAX_RATIO_DURING_BACKUP)]),
    );
    Ok(findings)
}

async fn measure(
    bench: &Bench<'_>,
    when: &str,
    subjects: Subjects<'_>,
) -> anyhow::Result<Vec<Call>> {
    bench.progress.step("growth: letting Postgres settle");
    pgbench::settle(&bench.stack).await?;
    let mut calls: Vec<Call> = Vec::new();
    for round in 0..bench.scale.rounds {
        bench.step(Scenario::Growth, round, &format!("{when} the growth"));
        for (index, (name, measured)) in subjects.measure(bench).await?.into_iter().enumerate() {
            match calls.get_mut(index) {
                Some(call) => call.rounds.push(measured),
                None => calls.push(Call { name, rounds: vec![measured] }),
            }
        }
    }
    Ok(calls)
}

/// Sends while pg_dump reads all tables, again and again if it is fast.
async fn during_backup(bench: &Bench<'_>, groups: &[Group]) -> anyhow::Result<Measured> {
    bench.progress.step("growth: sends during pg_dump");
    tokio::select! {
        measured = measure::sends(bench, groups) => measured,
        error = back_up_forever(bench) => error,
    }
}

async fn back_up_forever<T>(bench: &Bench<'_>) -> anyhow::Result<T> {
    loop {
        let mut backup = Command::from(bench.stack.postgres().pg_dump(PARLANCE)?);
        backup.arg("--format=custom").stdout(Stdio::null()).kill_on_drop(true);
        let status = backup.status().await.context("cannot run pg_dump")?;
        ensure!(status.success(), "pg_dump failed ({status})");
    }
}

fn row(name: &'static str, rounds: &[Measured], baseline: &'static str, figures: Vec<f64>) -> Row {
    Row::new(full_name(name), UNIT, rounds)
        .with_baseline(Baseline::new(baseline, figures, None))
        .with_goals([Goal::RatioAtMost(MAX_RATIO)])
}

fn figures(call: &Call) -> Vec<f64> {
    call.rounds.iter().map(|round| round.figure).collect()
}

fn full_name(name: &str) -> String {
    format!("{}: {name}", Scenario::Growth.name())
}
