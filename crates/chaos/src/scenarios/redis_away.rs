//! With Redis down or paused for a minute, subscribers at all replicas get every message at most
//! two seconds late.
//!
//! Redis carries events from the replica of messaging that commits them to the others. Gateways
//! that agree on owner replicas hardly need it, so here each gateway knows the replicas under
//! addresses of its own and they disagree. Without Redis, events reach the other gateway only
//! through the log poller.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use parlance_devstack::Progress;
use parlance_measure::Latencies;

use super::measured::{Measured, findings};
use crate::checker::{Verdict, check};
use crate::clients::{SharedWorld, Workload, World};
use crate::history::{EventKind, History, View};
use crate::latency::{self, deliveries};
use crate::plan::{Plan, Scale};
use crate::progress::watch;
use crate::run::{Environment, create_world, finish};
use crate::topology::REPLICAS;

const SCALE: Scale =
    Scale { users: 24, rooms: 16, members: 6, rate: 50, duration: Duration::ZERO, ..Scale::QUICK };
const CALM: Duration = Duration::from_secs(15);
const AWAY: Duration = Duration::from_secs(60);
/// The longest latency that is promised.
const PROMISE: Duration = Duration::from_secs(2);
/// Only deliveries through the log poller take longer.
const MIN_POLLER_LATENCY_MS: f64 = 100.0;
const RESTART_TIMEOUT: Duration = Duration::from_secs(30);

/// A time in which Redis was in one state.
struct Stretch {
    redis: &'static str,
    begin: i64,
    end: i64,
}

/// What was committed in a stretch, and its deliveries.
struct Figures {
    messages: usize,
    latencies: Latencies,
    late: usize,
}

pub(super) async fn measure(
    environment: &Environment,
    seed: u64,
    progress: &Progress,
) -> anyhow::Result<Measured> {
    let plan = Plan::new(seed, SCALE);
    progress.line("creating users and rooms");
    let worlds = create_worlds(environment, &plan).await;
    let worlds = worlds.context("cannot create the users and rooms")?;
    let mut workload = Workload::new(worlds.clone(), seed, plan.scale.waits);
    workload.subscribe_all();
    let senders = workload.start_senders(plan.scale.rate);
    let stretches = take_redis_away(environment, &worlds[0], progress).await?;
    progress.line("waiting for answers and deliveries");
    workload.stop(senders).await?;
    let database_url = environment.stack.database_url();
    let history = finish(workload, 0, &worlds[0], &database_url).await?;
    let verdict = check(&history);
    let figures: Vec<Figures> =
        stretches.iter().map(|stretch| figures(&history.views, stretch)).collect();
    let without_redis = figures[1].latencies.percentiles();
    let is_delayed = without_redis.is_some_and(|it| it.max > MIN_POLLER_LATENCY_MS);
    ensure!(is_delayed, "no delivery needed Redis");
    let is_kept = verdict.is_clean() && figures.iter().all(|figures| figures.late == 0);
    let report = report(&stretches, &figures, &verdict, &history, seed)?;
    Ok(Measured { report, is_kept })
}

/// Returns the same users and rooms at each gateway, so that each gateway has senders and
/// subscribers of every room.
async fn create_worlds(environment: &Environment, plan: &Plan) -> anyhow::Result<Vec<SharedWorld>> {
    let created = create_world(environment.target(), plan).await?;
    let at_gateway = |gateway| {
        let target = environment.target_at(gateway);
        Arc::new(World::new(target, created.users.clone(), created.rooms.clone(), None))
    };
    Ok((0..REPLICAS).map(at_gateway).collect())
}

async fn take_redis_away(
    environment: &Environment,
    world: &SharedWorld,
    progress: &Progress,
) -> anyhow::Result<Vec<Stretch>> {
    let redis = environment.stack.redis().process();
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut stretch = async |name: &'static str, duration: Duration| {
        let now = || world.clock.now().as_micros();
        let begin = stretches.last().map_or_else(now, |last| last.end);
        progress.line(&format!("Redis is {name}"));
        watch(progress, duration, &world.counters).await;
        stretches.push(Stretch { redis: name, begin, end: now() });
    };
    stretch("up", CALM).await;
    redis.kill().await?;
    stretch("down", AWAY).await;
    redis.restart(RESTART_TIMEOUT).await?;
    stretch("restarted, empty", CALM).await;
    redis.pause()?;
    stretch("paused", AWAY).await;
    redis.resume()?;
    stretch("resumed", CALM).await;
    Ok(stretches)
}

fn figures(views: &[View], stretch: &Stretch) -> Figures {
    let is_inside = |at: i64| (stretch.begin..stretch.end).contains(&at);
    let created = views.iter().flat_map(View::events).filter(|event| {
        matches!(event.kind, EventKind::Created { created_at, .. } if is_inside(created_at))
    });
    let messages: HashSet<i64> = created.map(|event| event.message).collect();
    let latencies: Vec<Duration> = deliveries(views)
        .filter(|delivery| is_inside(delivery.committed_at))
        .map(|delivery| delivery.latency)
        .collect();
    Figures {
        messages: messages.len(),
        late: latencies.iter().filter(|latency| **latency > PROMISE).count(),
        latencies: latencies.into_iter().collect(),
    }
}

fn report(
    stretches: &[Stretch],
    figures: &[Figures],
    verdict: &Verdict,
    history: &History,
    seed: u64,
) -> Result<String, std::fmt::Error> {
    let mut text = String::from("# Redis away\n\n");
    let promise = PROMISE.as_secs();
    writeln!(
        text,
        "{REPLICAS} gateways that disagree on the owner replicas of {} rooms; {} subscriptions, \
         half of them at each gateway; messages, edits and deletions at both. Latency is measured \
         from commit to arrival. The promise is {promise} s.\n",
        SCALE.rooms,
        history.views.len(),
    )?;
    writeln!(
        text,
        "| Redis is | for | messages | deliveries | median | 99 % | slowest | \
         later than {promise} s |"
    )?;
    writeln!(text, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for (Stretch { redis, begin, end }, figures) in stretches.iter().zip(figures) {
        let Figures { messages, latencies, late } = figures;
        let (seconds, count) = ((end - begin) / 1_000_000, latencies.count());
        let latency = latency::summary(latencies, " | ");
        writeln!(text, "| {redis} | {seconds} s | {messages} | {count} | {latency} | {late} |")?;
    }
    text.push_str(&findings(verdict));
    writeln!(text, "\nTo repeat it: `make chaos SCENARIO=redis-away SEED={seed}`.")?;
    Ok(text)
}
