//! *Idle*: the memory of an open connection on which nothing is sent.

use std::time::Duration;

use anyhow::Context;
use parlance_measure::Scale;
use tokio::time::sleep;

use crate::bench::Bench;
use crate::curve::Curve;
use crate::goal::Goal;
use crate::load::idle::IdleClients;
use crate::open_files;
use crate::report::Findings;
use crate::row::{Measured, Row};
use crate::scenario::Scenario;
use crate::usage;

/// Points of the curve.
const POINTS: usize = 10;
/// The time in which the gateway frees what it needed to open connections.
const SETTLE_DELAY: Duration = Duration::from_secs(1);
const MIB: f64 = 1_048_576.0;

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let (name, total) = (Scenario::Idle.name(), bench.scale.connections);
    open_files::ensure_limit(total)?;
    let groups = bench.groups().await?;
    // Free memory of earlier scenarios would hide the memory of the connections.
    bench.restart_gateways().await?;
    let mut clients = IdleClients::default();
    let before = gateway_memory(bench);
    let mut points = vec![(0.0, before / MIB)];
    while clients.count() < total {
        let more = (total / POINTS).clamp(1, total - clients.count());
        bench.progress.step(&format!("{name}: {} connections", clients.count() + more));
        clients.open(&bench.setup, groups, more).await?;
        sleep(SETTLE_DELAY).await;
        points.push((clients.count() as f64, gateway_memory(bench) / MIB));
    }
    let (_, usage) = bench.measure(bench.scale.point, async |_| Ok(())).await?;
    clients.ensure_complete()?;
    let after = usage.get("gateway").context("a stack has gateways")?.memory as f64;
    let figure = (after - before) / clients.count() as f64 / 1_024.0;
    let measured = Measured { figure, operations: 0, latencies: None, usage };
    let row = Row::new(format!("{name}: {total} connections"), "KiB a connection", &[measured])
        .with_goals([Goal::AtMost(8.0)])
        .with_note(format!("{:.0} MiB without connections", before / MIB));
    let mut findings = Findings::from_row(row);
    findings.curves.push(Curve {
        file: "memory.svg",
        title: "Memory over connections",
        x: "idle connections",
        y: "MiB in the gateway",
        scales: (Scale::Linear, Scale::Linear),
        lines: vec![("resident", points)],
    });
    Ok(findings)
}

/// Returns the memory of all gateways in bytes.
fn gateway_memory(bench: &Bench<'_>) -> f64 {
    usage::by_part(&bench.stack).get("gateway").map_or(0.0, |usage| usage.memory as f64)
}
