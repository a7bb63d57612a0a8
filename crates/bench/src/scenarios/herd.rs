//! *Herd*: everybody is cut off and comes back at once.

use std::sync::Arc;

use super::{Bench, Scenario};
use crate::api::Circle;
use crate::files;
use crate::load::crowd::Crowd;
use crate::load::herd::{self, Missed};
use crate::load::sends::{fill_room, head_of};
use crate::report::Findings;
use crate::result::{Goal, Measured, Row};
use crate::usage;

/// Messages in each room while nobody listens.
const MISSED: usize = 3;

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let circles: Arc<[Circle]> = bench.crowd().await?.into();
    let size = bench.scale.connections;
    files::ensure_allowed(size)?;
    let mut rounds = Vec::new();
    let (mut failures, mut longest_failure) = (0, std::time::Duration::ZERO);
    for round in 0..bench.scale.rounds {
        bench.step(Scenario::Herd, round, &format!("opening {size} connections"));
        let mut crowd = Crowd::default();
        crowd.grow(&bench.api, &circles, size).await?;
        let mut missed = Vec::new();
        for circle in circles.iter() {
            missed.push(Missed {
                after_seq: head_of(&bench.api, circle).await?,
                count: MISSED as u64,
            });
        }
        bench.step(Scenario::Herd, round, "all drop");
        drop(crowd);
        for circle in circles.iter() {
            fill_room(&bench.api, circle, MISSED).await?;
        }
        bench.step(Scenario::Herd, round, "all come back");
        let before = usage::of_stack(&bench.stack);
        let tally =
            herd::come_back(bench.api.clone(), circles.clone(), missed.into(), size).await?;
        let usage = usage::since(&bench.stack, &before);
        failures += tally.failures;
        longest_failure = longest_failure.max(tally.longest_failure);
        let slowest =
            tally.live_after.percentiles().map_or(f64::INFINITY, |found| found.slowest / 1e3);
        let latencies = Some(tally.live_after);
        rounds.push(Measured { figure: slowest, operations: size as u64, latencies, usage });
    }
    let name = format!("{}: {size} come back", Scenario::Herd.name());
    let row = Row::new(name, "s until the last is live", &rounds)?.with_goals([Goal::AtMost(10.0)]);
    let note = if failures == 0 {
        "no try failed".to_owned()
    } else {
        format!(
            "{failures} tries failed, all live at most {:.1} s later",
            longest_failure.as_secs_f64()
        )
    };
    Ok(Findings::of(row.with_note(note)))
}
