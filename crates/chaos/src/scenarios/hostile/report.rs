//! What the scenario promises, and its report in Markdown.

use std::time::Duration;

use parlance_measure::Latencies;

use super::measure::{MAX_QUEUED_BYTES_TOTAL, Phase};
use super::setup::ORDINARY;
use crate::scenarios::Measured;

/// The 99th percentile of sends is at most so many times that without abusers.
const MAX_RATIO: f64 = 3.0;
const MAX_LOG_IN: Duration = Duration::from_secs(3);
/// The gateway may need so much for each of a thousand sockets, besides the send queues.
const MEMORY_ALLOWANCE: u64 = 128 << 20;
const MIB: u64 = 1 << 20;

/// What was promised for a phase and did not hold, in words.
fn broken(phase: &Phase, quiet: &Phase) -> Vec<String> {
    let mut broken = Vec::new();
    let tally = &phase.tally;
    if tally.refused > 0 {
        broken.push(format!("{} refused: {}", tally.refused, tally.refusals.join("; ")));
    }
    if p99(&tally.sends) > MAX_RATIO * p99(&quiet.tally.sends) {
        broken.push(format!("sends take more than {MAX_RATIO} times as long"));
    }
    if max(&tally.log_ins) > MAX_LOG_IN.as_secs_f64() * 1e3 {
        broken.push(format!("a log-in took more than {} s", MAX_LOG_IN.as_secs()));
    }
    if phase.memory > quiet.memory + MAX_QUEUED_BYTES_TOTAL + MEMORY_ALLOWANCE {
        broken.push("the gateway took more memory than its bounds allow".to_owned());
    }
    broken
}

pub(super) fn report(phases: &[Phase]) -> Measured {
    let quiet = &phases[0];
    let mut text = format!(
        "# Hostile clients\n\n{ORDINARY} ordinary clients, each with an address of its own, send \
         twice a second, read history and log in. The abusers share one address and one gateway. \
         Promised: no ordinary client is refused; the 99th percentile of sends is at most \
         {MAX_RATIO} times that without abusers; a log-in takes at most {} s; the memory of the \
         gateway is bounded.\n\n| abusers | sends | p50, p99 in ms | p99, ratio | history, p99 in \
         ms | log-ins | p99, slowest in ms | refused | gateway, MiB | kept |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n",
        MAX_LOG_IN.as_secs(),
    );
    let mut is_kept = true;
    for phase in phases {
        let broken = broken(phase, quiet);
        is_kept &= broken.is_empty();
        text.push_str(&row(phase, quiet, &broken));
    }
    Measured { report: text, is_kept }
}

fn row(phase: &Phase, quiet: &Phase, broken: &[String]) -> String {
    let Phase { abusers, tally, memory } = phase;
    let name = match abusers[..] {
        [] => "none",
        [abuser] => abuser.description(),
        _ => "all of them",
    };
    let percentiles = tally.sends.percentiles();
    format!(
        "| {name} | {} | {:.1}, {:.1} | {:.1} | {:.1} | {} | {:.0}, {:.0} | {} | {} | {} |\n",
        tally.sends.count(),
        percentiles.map_or(f64::NAN, |it| it.p50),
        p99(&tally.sends),
        p99(&tally.sends) / p99(&quiet.tally.sends),
        p99(&tally.reads),
        tally.log_ins.count(),
        p99(&tally.log_ins),
        max(&tally.log_ins),
        tally.refused,
        memory / MIB,
        if broken.is_empty() { "yes".to_owned() } else { format!("**no**: {}", broken.join("; ")) },
    )
}

fn p99(latencies: &Latencies) -> f64 {
    latencies.percentiles().map_or(f64::INFINITY, |it| it.p99)
}

fn max(latencies: &Latencies) -> f64 {
    latencies.percentiles().map_or(f64::INFINITY, |it| it.max)
}
