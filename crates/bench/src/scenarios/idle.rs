//! *Idle*: what a connection costs that is open and silent.

use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use super::{Bench, Scenario};
use crate::files;
use crate::load::crowd::Crowd;
use crate::report::Findings;
use crate::result::{Goal, Measured, Row};
use crate::usage::{self, Window};

/// Points of the curve.
const STEPS: usize = 10;
/// For what is given back after opening.
const SETTLE: Duration = Duration::from_secs(1);
const MIB: f64 = 1_048_576.0;

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    files::ensure_allowed(bench.scale.connections)?;
    let circles = bench.crowd().await?;
    // What earlier scenarios have left behind in its memory would hide what connections take.
    bench.restart_gateways().await?;
    let mut crowd = Crowd::default();
    let before = memory(bench);
    let mut curve = vec![(0, before / MIB)];
    let total = bench.scale.connections;
    while crowd.size() < total {
        let more = (total / STEPS).clamp(1, total - crowd.size());
        bench.display.step(&format!(
            "{}: {} connections",
            Scenario::Idle.name(),
            crowd.size() + more
        ));
        crowd.grow(&bench.api, circles, more).await?;
        sleep(SETTLE).await;
        curve.push((crowd.size(), memory(bench) / MIB));
    }
    let usage = Window::after(bench.scale.warm_up, bench.scale.point).watch(&bench.stack).await;
    crowd.ensure_complete()?;
    let after = usage.get("gateway").context("a stack has gateways")?.memory as f64;
    let figure = (after - before) / crowd.size() as f64 / 1_024.0;
    let measured = Measured { figure, operations: 0, latencies: None, usage };
    let row = Row::new(
        format!("{}: {total} connections", Scenario::Idle.name()),
        "KiB a connection",
        &[measured],
    )?;
    let note = format!("{:.0} MiB without any", before / MIB);
    let mut findings = Findings::of(row.with_goals([Goal::AtMost(8.0)]).with_note(note));
    findings.curves.memory = curve;
    Ok(findings)
}

/// Of all gateways, in bytes.
fn memory(bench: &Bench<'_>) -> f64 {
    usage::of_stack(&bench.stack).get("gateway").map_or(0.0, |usage| usage.memory as f64)
}
