//! *Idle*: the memory of an open connection on which nothing is sent.

use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use crate::bench::Bench;
use crate::goal::Goal;
use crate::load::idle::IdleClients;
use crate::open_files;
use crate::report::Findings;
use crate::row::{Measured, Row};
use crate::scenario::Scenario;
use crate::usage::{self, Window};

/// Points of the curve.
const POINTS: usize = 10;
/// The time in which the gateway frees what it needed to open connections.
const SETTLE_TIME: Duration = Duration::from_secs(1);
const MIB: f64 = 1_048_576.0;

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let (name, total) = (Scenario::Idle.name(), bench.scale.connections);
    open_files::ensure_limit(total)?;
    let groups = bench.groups().await?;
    // Free memory of earlier scenarios would hide the memory of the connections.
    bench.restart_gateways().await?;
    let mut clients = IdleClients::default();
    let before = gateway_memory(bench);
    let mut curve = vec![(0, before / MIB)];
    while clients.count() < total {
        let more = (total / POINTS).clamp(1, total - clients.count());
        bench.progress.step(&format!("{name}: {} connections", clients.count() + more));
        clients.open(&bench.setup, groups, more).await?;
        sleep(SETTLE_TIME).await;
        curve.push((clients.count(), gateway_memory(bench) / MIB));
    }
    let usage = Window::after(bench.scale.warm_up, bench.scale.point).watch(&bench.stack).await;
    clients.ensure_complete()?;
    let after = usage.get("gateway").context("a stack has gateways")?.memory as f64;
    let figure = (after - before) / clients.count() as f64 / 1_024.0;
    let measured = Measured { figure, operations: 0, latencies: None, usage };
    let row = Row::new(format!("{name}: {total} connections"), "KiB a connection", &[measured])
        .with_goals([Goal::AtMost(8.0)])
        .with_note(format!("{:.0} MiB without connections", before / MIB));
    let mut findings = Findings::from_row(row);
    findings.curves.memory = curve;
    Ok(findings)
}

/// Returns the memory of all gateways in bytes.
fn gateway_memory(bench: &Bench<'_>) -> f64 {
    usage::by_part(&bench.stack).get("gateway").map_or(0.0, |usage| usage.memory as f64)
}
