//! With Redis down or paused for a minute, subscribers on all replicas get every message at most
//! two seconds late.
//!
//! Redis carries what is said at one replica of messaging to the subscribers at another one.
//! Usually all gateways find each other at the same replica and hardly need it, so here they are
//! kept from it: each knows the replicas under addresses of its own, and they disagree about the
//! homes of rooms. What the sender's gateway sent to one replica the others then have from the tail
//! alone.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use parlance_core::Clock;
use tokio::task::JoinSet;

use super::Measured;
use super::workload::Crowd;
use crate::checker::{Verdict, judge};
use crate::clients::{Progress, SharedWorld, World, sender};
use crate::collect::collect;
use crate::history::{Entry, History, Send, View, What};
use crate::latency::{Latencies, deliveries};
use crate::nemesis::Extent;
use crate::plan::{Plan, REPLICAS, Scale};
use crate::progress::Display;
use crate::run::{self, Arena};

const SCALE: Scale = Scale {
    users: 24,
    rooms: 16,
    members: 6,
    rate: 50,
    duration: Duration::ZERO,
    extent: Extent::Sample,
    ..Scale::QUICK
};
const CALM: Duration = Duration::from_secs(15);
const AWAY: Duration = Duration::from_secs(60);
/// The latest that a message may come.
const PROMISE: Duration = Duration::from_secs(2);
/// Nothing takes so long that comes by Redis, or that needs no Redis.
const SIGN_OF_THE_TAIL: Duration = Duration::from_millis(100);
const RESTART_DEADLINE: Duration = Duration::from_secs(30);

/// What Redis was for some time.
struct Stretch {
    redis: &'static str,
    begin: i64,
    end: i64,
}

/// What was committed meanwhile, and its deliveries.
struct Figures {
    messages: usize,
    latencies: Latencies,
    late: usize,
}

pub(super) async fn measure(
    arena: &Arena,
    seed: u64,
    display: &Display,
) -> anyhow::Result<Measured> {
    let plan = Plan::new(seed, SCALE);
    display.step("making people and rooms");
    let worlds = make_worlds(arena, &plan).await.context("cannot make the people and rooms")?;
    let mut crowd = Crowd::new(worlds.clone(), seed);
    for person in 0..plan.scale.users {
        (0..REPLICAS).for_each(|gateway| crowd.subscribe(gateway, person));
    }
    let senders = start_senders(&mut crowd, &worlds, &plan);
    let stretches = take_redis_away(arena, &worlds[0], display).await?;
    display.step("waiting for quiet");
    let (sends, views) = crowd.finish(senders).await?;

    let mut history = History { sends, views, ..History::default() };
    collect(&arena.stack.database_url(), &worlds[0], &mut history).await?;
    let verdict = judge(&history);
    let figures: Vec<Figures> =
        stretches.iter().map(|stretch| figures(&history.views, stretch)).collect();
    let slowest_without = figures[1].latencies.slowest();
    ensure!(
        slowest_without > Some(SIGN_OF_THE_TAIL),
        "nothing had to come otherwise than by Redis"
    );
    let is_kept = verdict.is_clean() && figures.iter().all(|figures| figures.late == 0);
    Ok(Measured { report: report(&stretches, &figures, &verdict, &history, seed)?, is_kept })
}

/// The same people and rooms at each gateway.
async fn make_worlds(arena: &Arena, plan: &Plan) -> anyhow::Result<Vec<SharedWorld>> {
    let made = run::make_world(arena.api()?, plan).await?;
    let at = |gateway| {
        Ok(Arc::new(World {
            api: arena.api_at(gateway)?,
            clock: Clock::system(),
            people: made.people.clone(),
            rooms: made.rooms.clone(),
            villains: None,
            progress: Progress::default(),
        }))
    };
    (0..REPLICAS).map(at).collect()
}

/// Each person sends at one gateway, so that all gateways have senders and listeners of every room.
fn start_senders(crowd: &mut Crowd, worlds: &[SharedWorld], plan: &Plan) -> JoinSet<Vec<Send>> {
    let mut senders = JoinSet::new();
    let people = plan.scale.users;
    let mean_pause = Duration::from_secs(1).mul_f64(people as f64 / f64::from(plan.scale.rate));
    for person in 0..people {
        let world = worlds[person % worlds.len()].clone();
        senders.spawn(sender::run(world, person, mean_pause, crowd.next_rng(), crowd.phases()));
    }
    senders
}

async fn take_redis_away(
    arena: &Arena,
    world: &SharedWorld,
    display: &Display,
) -> anyhow::Result<Vec<Stretch>> {
    let redis = arena.stack.redis().process();
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut watch = async |name: &'static str, duration: Duration| {
        let now = || world.clock.now().as_micros();
        let begin = stretches.last().map_or_else(now, |last| last.end);
        display.step(&format!("Redis is {name}"));
        display.watch(duration, &world.progress).await;
        stretches.push(Stretch { redis: name, begin, end: now() });
    };
    watch("there", CALM).await;
    redis.kill().await?;
    watch("down", AWAY).await;
    redis.restart(RESTART_DEADLINE).await?;
    watch("started again, empty", CALM).await;
    redis.pause()?;
    watch("paused", AWAY).await;
    redis.resume()?;
    watch("resumed", CALM).await;
    Ok(stretches)
}

fn figures(views: &[View], stretch: &Stretch) -> Figures {
    let meanwhile = stretch.begin..stretch.end;
    let mut messages = HashSet::new();
    for entry in views.iter().flat_map(|view| &view.entries) {
        if let Entry::Event(event) = entry
            && let What::Created { created_at, .. } = &event.what
            && meanwhile.contains(created_at)
        {
            messages.insert(event.message);
        }
    }
    let of_stretch =
        || deliveries(views).filter(|(at, _)| meanwhile.contains(at)).map(|(_, took)| took);
    let is_late = |took: &i64| u128::try_from(*took).is_ok_and(|took| took > PROMISE.as_micros());
    Figures {
        messages: messages.len(),
        latencies: of_stretch().collect(),
        late: of_stretch().filter(is_late).count(),
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
    writeln!(
        text,
        "{} gateways that disagree about the homes of {} rooms, {} subscriptions, half of them at each gateway; messages, edits \
         and deletions at both. Measured from commit to arrival; the promise is {} s.\n",
        REPLICAS,
        SCALE.rooms,
        history.views.len(),
        PROMISE.as_secs()
    )?;
    writeln!(
        text,
        "| Redis is | for | messages | deliveries | median | 99 % | slowest | later than {} s |",
        PROMISE.as_secs()
    )?;
    writeln!(text, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for (stretch, figures) in stretches.iter().zip(figures) {
        let Figures { messages, latencies, late } = figures;
        let seconds = (stretch.end - stretch.begin) / 1_000_000;
        let count = latencies.count();
        writeln!(
            text,
            "| {} | {seconds} s | {messages} | {count} | {latencies} | {late} |",
            stretch.redis
        )?;
    }
    text.push_str(&super::findings(verdict)?);
    writeln!(text, "\nOnce more: `make chaos SCENARIO=redis-away SEED={seed}`.")?;
    Ok(text)
}
