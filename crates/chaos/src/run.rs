//! One run: people and rooms are made, clients set to work, faults injected; then all is healed and quiet, and what was recorded is
//! handed over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use parlance_core::Clock;
use parlance_devstack::Stack;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::api::{Api, Person};
use crate::clients::{Phase, Phases, Progress, SharedWorld, World, meddler, sender, subscriber};
use crate::growth::Observer;
use crate::history::{FaultRecord, History, Send, Stage, View};
use crate::plan::{Plan, REPLICAS, Scheduled};
use crate::progress::Display;
use crate::{collect, faults};

/// Requests at once while the people and rooms are made.
const AT_ONCE: usize = 8;

/// Starts a private Parlance whose Postgres keeps what it has acknowledged.
pub(crate) async fn start() -> anyhow::Result<Stack> {
    Stack::builder().replicas(REPLICAS).gateways(REPLICAS).durable().start().await
}

/// Carries out the plan, and looks at what all processes hold.
pub(crate) async fn run(stack: &Stack, plan: &Plan, display: &Display) -> anyhow::Result<History> {
    let mut observer = Observer::new(stack);
    observer.look(Stage::Idle).await;
    let mut history = tokio::select! {
        history = run_through(Api::of(stack)?, stack, plan, display) => history?,
        never = observer.look_forever() => match never {},
    };
    display.step("watching what is given back");
    observer.look_until_returned().await;
    history.footprints = observer.into_footprints();
    Ok(history)
}

/// Carries out the plan with clients that reach the stack in this way.
pub(crate) async fn run_through(
    api: Api,
    stack: &Stack,
    plan: &Plan,
    display: &Display,
) -> anyhow::Result<History> {
    display.step("making people and rooms");
    let world = Arc::new(make_world(api, plan).await.context("cannot make the people and rooms")?);
    let (phase, phases) = watch::channel(Phase::Running);

    display.step("sending, without faults");
    let mut subscribers = start_subscribers(&world, plan, &phases);
    let mut senders = start_senders(&world, plan, &phases);
    let mut removing = JoinSet::new();
    removing.spawn(meddler::remove_members(world.clone(), plan.removals.clone(), phases.clone()));
    let mut meeting = JoinSet::new();
    meeting.spawn(meddler::make_contacts(world.clone(), plan.meetings.clone(), phases.clone()));

    let faults = inject_faults(stack, plan, &world, display).await?;

    display.step("healed: waiting for quiet");
    phase.send_replace(Phase::Finishing);
    let mut sends = gather(&mut senders, plan.scale.waits.finishing, &phase).await?;
    let removals = all(&mut removing).await?.into_iter().collect::<anyhow::Result<Vec<_>>>()?.concat();
    all(&mut meeting).await?.into_iter().collect::<anyhow::Result<()>>()?;
    if *phases.borrow() < Phase::Over {
        let mut ending = JoinSet::new();
        for index in 0..world.rooms.len() {
            let rng = plan.rng_of(2_000_000 + index as u64);
            ending.spawn(sender::end_room(world.clone(), index, rng, phases.clone()));
        }
        sends.extend(gather(&mut ending, plan.scale.waits.finishing, &phase).await?);
    }
    let watching: usize = world.rooms.iter().map(|(_, members)| members.len()).sum();
    wait_for_quiet(&world, watching - removals.len(), plan.scale.waits.quiet).await;
    phase.send_replace(Phase::Over);
    let views: Vec<View> = all(&mut subscribers).await?.concat();

    display.step("reading the store");
    let mut history = History { sends, views, removals, faults, ..History::default() };
    collect::collect(stack, &world, &mut history).await?;
    Ok(history)
}

async fn make_world(api: Api, plan: &Plan) -> anyhow::Result<World> {
    let registering = stream::iter(0..plan.scale.users).map(|number| api.register(number));
    let people: Vec<Person> = registering.buffered(AT_ONCE).try_collect().await?;
    let making = stream::iter(&plan.rooms).map(|members| make_room(&api, &people, members));
    let rooms = making.buffered(AT_ONCE).try_collect().await?;
    Ok(World { api, clock: Clock::system(), people, rooms, progress: Progress::default() })
}

async fn make_room(api: &Api, people: &[Person], members: &[usize]) -> anyhow::Result<(i64, Vec<usize>)> {
    let owner = &people[members[0]];
    let others: Vec<&Person> = members[1..].iter().map(|index| &people[*index]).collect();
    for other in &others {
        api.befriend(owner, other).await?;
    }
    Ok((api.make_room(owner, &others).await?, members.to_vec()))
}

fn start_subscribers(world: &SharedWorld, plan: &Plan, phases: &Phases) -> JoinSet<Vec<View>> {
    let mut subscribers = JoinSet::new();
    for person in 0..world.people.len() {
        let rng = plan.rng_of(person as u64);
        subscribers.spawn(subscriber::run(world.clone(), person, rng, phases.clone()));
    }
    subscribers
}

fn start_senders(world: &SharedWorld, plan: &Plan, phases: &Phases) -> JoinSet<Vec<Send>> {
    let mut senders = JoinSet::new();
    let people = world.people.len();
    let mean_pause = Duration::from_secs(1).mul_f64(people as f64 / f64::from(plan.scale.rate));
    for person in 0..people {
        let rng = plan.rng_of(1_000_000 + person as u64);
        senders.spawn(sender::run(world.clone(), person, mean_pause, rng, phases.clone()));
    }
    senders
}

async fn inject_faults(
    stack: &Stack,
    plan: &Plan,
    world: &World,
    display: &Display,
) -> anyhow::Result<Vec<FaultRecord>> {
    let mut records: Vec<FaultRecord> = Vec::new();
    display.watch(plan.scale.waits.calm, &world.progress).await;
    for (index, scheduled) in plan.faults.iter().enumerate() {
        display.watch(scheduled.after, &world.progress).await;
        let Scheduled { fault, .. } = scheduled;
        display.step(&format!("fault {} of {}: {fault}", index + 1, plan.faults.len()));
        if let Some(last) = records.last_mut() {
            last.observed_until = world.clock.now().as_micros();
        }
        records.push(faults::inject(stack, scheduled, &world.clock).await?);
    }
    display.watch(plan.scale.waits.calm * 2, &world.progress).await;
    Ok(records)
}

/// What the tasks return; past the limit they are told to give up what they wait for.
async fn gather<T: 'static>(
    tasks: &mut JoinSet<Vec<T>>,
    limit: Duration,
    phase: &watch::Sender<Phase>,
) -> anyhow::Result<Vec<T>> {
    let mut gathered = Vec::new();
    let in_time = timeout(limit, async {
        while let Some(part) = tasks.join_next().await {
            gathered.extend(part?);
        }
        anyhow::Ok(())
    });
    if let Ok(outcome) = in_time.await {
        outcome?;
        return Ok(gathered);
    }
    phase.send_replace(Phase::Over);
    while let Some(part) = tasks.join_next().await {
        gathered.extend(part?);
    }
    Ok(gathered)
}

async fn all<T: 'static>(tasks: &mut JoinSet<T>) -> anyhow::Result<Vec<T>> {
    let mut outcomes = Vec::new();
    while let Some(outcome) = tasks.join_next().await {
        outcomes.push(outcome?);
    }
    Ok(outcomes)
}

/// Until every subscriber who is still a member has seen the last message of its rooms; what is missing then is missing.
async fn wait_for_quiet(world: &World, expected: usize, limit: Duration) {
    let begin = Instant::now();
    while world.progress.ends_seen.load(Ordering::Relaxed) < expected && begin.elapsed() < limit {
        sleep(Duration::from_millis(50)).await;
    }
    // What should not come may come now.
    sleep(Duration::from_secs(1)).await;
}
