//! One run: people and rooms are made, clients set to work, faults injected; then all is healed and
//! quiet, and what was recorded is handed over.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use parlance_core::Clock;
use parlance_devstack::{Arrow, Stack};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::api::{Api, Person};
use crate::clients::{Phase, Phases, Progress, SharedWorld, World, admin, sender, subscriber};
use crate::history::{FaultRecord, History, Send, Stage, View};
use crate::misbehaving::Villains;
use crate::nemesis::{Fault, Ground};
use crate::network::{CLIENTS, Links};
use crate::plan::{Plan, REPLICAS};
use crate::progress::Display;
use crate::resources::Observer;
use crate::{collect, nemesis};

/// Requests at once while the people and rooms are made.
const AT_ONCE: usize = 8;
/// Rooms in which a bad client is, too.
const OVERHEARD: usize = 3;

/// A private Parlance, and what lies between its parts and before its gateways.
#[derive(Debug)]
pub(crate) struct Arena {
    pub(crate) stack: Stack,
    pub(crate) links: Arc<Links>,
    /// Where clients find the gateways.
    gateways: Vec<SocketAddr>,
}

impl Arena {
    /// The gateways, as clients see them.
    pub(crate) fn api(&self) -> anyhow::Result<Api> {
        Api::at(&self.gateways)
    }

    /// One gateway, as clients see it.
    pub(crate) fn api_at(&self, gateway: usize) -> anyhow::Result<Api> {
        Api::at(&self.gateways[gateway..=gateway])
    }
}

/// Starts a private Parlance whose Postgres keeps what it has acknowledged.
pub(crate) async fn start(homes_agree: bool) -> anyhow::Result<Arena> {
    let links = Arc::new(Links::new(homes_agree));
    let wiring = links.clone();
    let builder = Stack::builder().replicas(REPLICAS).gateways(REPLICAS).durable();
    let stack = builder.wiring(move |arrow| wiring.interpose(arrow)).start().await?;
    let before = |index| {
        let (caller, callee) = (CLIENTS, "gateway");
        let address = stack.address(callee, index);
        links.interpose(&Arrow { caller, caller_index: 0, callee, callee_index: index, address })
    };
    let gateways = (0..REPLICAS).map(before).collect::<anyhow::Result<_>>()?;
    Ok(Arena { stack, links, gateways })
}

/// Carries out the plan, and looks at what all processes hold.
pub(crate) async fn run(
    api: Api,
    arena: &Arena,
    plan: &Plan,
    display: &Display,
) -> anyhow::Result<History> {
    let mut observer = Observer::new(&arena.stack);
    observer.look(Stage::Idle).await;
    let mut history = tokio::select! {
        history = run_through(api, arena, plan, display) => history?,
        never = observer.look_forever() => match never {},
    };
    display.step("watching what is given back");
    observer.look_until_returned().await;
    history.footprints = observer.into_footprints();
    Ok(history)
}

/// Carries out the plan with clients that reach the gateways in this way.
pub(crate) async fn run_through(
    api: Api,
    arena: &Arena,
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
    removing.spawn(admin::remove_members(world.clone(), plan.removals.clone(), phases.clone()));
    let mut meeting = JoinSet::new();
    meeting.spawn(admin::make_contacts(world.clone(), plan.meetings.clone(), phases.clone()));

    let faults = inject_faults(arena, plan, &world, display).await?;

    display.step("healed: waiting for quiet");
    phase.send_replace(Phase::Finishing);
    let mut sends = gather(&mut senders, plan.scale.waits.finishing, &phase).await?;
    let removals =
        all(&mut removing).await?.into_iter().collect::<anyhow::Result<Vec<_>>>()?.concat();
    all(&mut meeting).await?.into_iter().collect::<anyhow::Result<()>>()?;
    if *phases.borrow() < Phase::Over {
        let mut ending = JoinSet::new();
        for index in 0..world.rooms.len() {
            let rng = plan.rng_of(2_000_000 + index as u64);
            ending.spawn(sender::end_room(world.clone(), index, rng, phases.clone()));
        }
        sends.extend(gather(&mut ending, plan.scale.waits.finishing, &phase).await?);
    }
    // Whoever was told to give up has left.
    if *phases.borrow() < Phase::Over {
        let watching: usize = world.rooms.iter().map(|(_, members)| members.len()).sum();
        wait_for_quiet(&world, watching - removals.len(), plan.scale.waits.quiet).await;
    }
    phase.send_replace(Phase::Over);
    let views: Vec<View> = all(&mut subscribers).await?.concat();

    display.step("reading the store");
    let mut history = History { sends, views, removals, faults, ..History::default() };
    collect::collect(&arena.stack.database_url(), &world, &mut history).await?;
    Ok(history)
}

pub(crate) async fn make_world(api: Api, plan: &Plan) -> anyhow::Result<World> {
    let registering = stream::iter(0..plan.scale.users).map(|number| api.register(number));
    let people: Vec<Person> = registering.buffered(AT_ONCE).try_collect().await?;
    let brings_villains =
        plan.faults.iter().flat_map(|scheduled| &scheduled.faults).any(Fault::is_by_clients);
    let pair = if brings_villains {
        Some((api.register(plan.scale.users).await?, api.register(plan.scale.users + 1).await?))
    } else {
        None
    };
    let listener = pair.as_ref().map(|(_, listener)| listener);
    let making = plan.rooms.iter().enumerate().map(|(index, members)| {
        let listener = listener.filter(|_| index < OVERHEARD);
        make_room(&api, &people, members, listener)
    });
    let rooms: Vec<_> = stream::iter(making).buffered(AT_ONCE).try_collect().await?;
    let villains = match pair {
        Some((talker, listener)) => Some(gather_villains(&api, talker, listener, &rooms).await?),
        None => None,
    };
    Ok(World {
        api,
        clock: Clock::system(),
        people,
        rooms,
        villains,
        progress: Progress::default(),
    })
}

/// Makes a room, with a villain who listens if there is one; its id, and the numbers of the others.
async fn make_room(
    api: &Api,
    people: &[Person],
    members: &[usize],
    listener: Option<&Person>,
) -> anyhow::Result<(i64, Vec<usize>)> {
    let owner = &people[members[0]];
    let others: Vec<&Person> =
        members[1..].iter().map(|index| &people[*index]).chain(listener).collect();
    for other in &others {
        api.befriend(owner, other).await?;
    }
    Ok((api.make_room(owner, &others).await?, members.to_vec()))
}

async fn gather_villains(
    api: &Api,
    talker: Person,
    listener: Person,
    rooms: &[(i64, Vec<usize>)],
) -> anyhow::Result<Villains> {
    api.befriend(&talker, &listener).await?;
    let own_room = api.make_room(&talker, &[&listener]).await?;
    let busy_rooms = rooms.iter().take(OVERHEARD).map(|(room, _)| *room).collect();
    Ok(Villains { listener, talker, own_room, busy_rooms })
}

fn start_subscribers(world: &SharedWorld, plan: &Plan, phases: &Phases) -> JoinSet<Vec<View>> {
    let mut subscribers = JoinSet::new();
    for person in 0..world.people.len() {
        let rng = plan.rng_of(person as u64);
        subscribers.spawn(subscriber::run(world.clone(), person, rng, phases.clone()));
    }
    subscribers
}

pub(crate) fn start_senders(
    world: &SharedWorld,
    plan: &Plan,
    phases: &Phases,
) -> JoinSet<Vec<Send>> {
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
    arena: &Arena,
    plan: &Plan,
    world: &World,
    display: &Display,
) -> anyhow::Result<Vec<FaultRecord>> {
    let ground = Ground { stack: &arena.stack, links: &arena.links, world };
    let mut records: Vec<FaultRecord> = Vec::new();
    display.watch(plan.scale.waits.calm, &world.progress).await;
    for (index, scheduled) in plan.faults.iter().enumerate() {
        display.watch(scheduled.after, &world.progress).await;
        display.step(&format!("fault {} of {}: {scheduled}", index + 1, plan.faults.len()));
        if let Some(last) = records.last_mut() {
            last.observed_until = world.clock.now().as_micros();
        }
        records.push(nemesis::inject(ground, scheduled).await?);
    }
    display.watch(plan.scale.waits.calm * 2, &world.progress).await;
    Ok(records)
}

/// What the tasks return; past the limit they are told to give up what they wait for.
pub(crate) async fn gather<T: 'static>(
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

pub(crate) async fn all<T: 'static>(tasks: &mut JoinSet<T>) -> anyhow::Result<Vec<T>> {
    let mut outcomes = Vec::new();
    while let Some(outcome) = tasks.join_next().await {
        outcomes.push(outcome?);
    }
    Ok(outcomes)
}

/// Until every subscriber who is still a member has seen the last message of its rooms; what is
/// missing then is missing.
pub(crate) async fn wait_for_quiet(world: &World, expected: usize, limit: Duration) {
    let begin = Instant::now();
    while world.progress.ends_seen.load(Ordering::Relaxed) < expected && begin.elapsed() < limit {
        sleep(Duration::from_millis(50)).await;
    }
    // What should not come may come now.
    sleep(Duration::from_secs(1)).await;
}
