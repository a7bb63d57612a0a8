//! 1,000 connections that ask for everything and never read cost a gateway no more memory than its
//! bounds allow, and 100 others at the same gateway get everything in time.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parlance_client::{Account, Request, WebSocket, WebSocketOptions};
use parlance_devstack::{Progress, Stack};
use parlance_measure::Latencies;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::measured::{Measured, findings};
use crate::checker::{Verdict, check};
use crate::clients::{Phase, Phases, SharedWorld, Target, Workload, World, join_all, reached};
use crate::history::{Send, View};
use crate::latency;
use crate::plan::{Plan, Scale};
use crate::progress::watch;
use crate::run::{create_world, finish, metric, usage};

const GATEWAY: &str = "gateway";
/// Open slow connections. Each is replaced when its time is over, whether the gateway has closed it
/// or not.
const SLOW_CONNECTIONS: usize = 1_000;
const SLOW_ACCOUNTS: usize = 10;
const SLOW_SECONDS: Range<f64> = 10.0..20.0;
/// One of so many slow connections also asks for missed events.
const REPLAYING: usize = 4;
/// The kernel rounds it up a little.
const RECEIVE_BUFFER: u32 = 4_096;
/// Half of the readers are in the room of the slow connections, half in another one.
const READER_ACCOUNTS: usize = 20;
const CONNECTIONS_PER_READER: usize = 5;
/// Senders in the room of the slow connections, and in the other one.
const SENDERS: [usize; 2] = [4, 1];
/// Time between two messages of one sender.
const SEND_INTERVAL: Duration = Duration::from_millis(60);
const CONTENT_BYTES: usize = 4_000;

const MAX_QUEUED_BYTES: u64 = 1 << 20;
const MAX_QUEUED_BYTES_TOTAL: u64 = 64 << 20;
/// The buffers of a connection itself while a long frame is written.
const CONNECTION_BYTES: u64 = 140 << 10;
const MIB: u64 = 1 << 20;

const CALM: Duration = Duration::from_secs(8);
const LOAD: Duration = Duration::from_secs(60);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);
/// The longest latency that is promised to readers.
const PROMISE: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The memory of the gateway in bytes, and what it did with slow connections.
struct Cost {
    before: u64,
    peak: u64,
    after: u64,
    opened: usize,
    closed: u64,
}

impl Cost {
    /// The most memory that the gateway may have.
    fn allowed(&self) -> u64 {
        self.before + MAX_QUEUED_BYTES_TOTAL + SLOW_CONNECTIONS as u64 * CONNECTION_BYTES
    }
}

/// Starts one replica of each program, with bounds that are soon reached.
pub(super) async fn start() -> anyhow::Result<Stack> {
    Stack::builder()
        .environment(GATEWAY, "MAX_QUEUED_BYTES", &MAX_QUEUED_BYTES.to_string())
        .environment(GATEWAY, "MAX_QUEUED_BYTES_TOTAL", &MAX_QUEUED_BYTES_TOTAL.to_string())
        .start()
        .await
}

pub(super) async fn measure(
    stack: &Stack,
    seed: u64,
    progress: &Progress,
) -> anyhow::Result<Measured> {
    progress.line("creating users and rooms");
    let plan = plan(seed);
    let world = create_world(Target::new(&[stack.address(GATEWAY, 0)]), &plan).await;
    let world = Arc::new(world.context("cannot create the users and rooms")?);
    let mut workload = Workload::new(vec![world.clone()], seed, plan.scale.waits);
    for user in 1..=READER_ACCOUNTS {
        (0..CONNECTIONS_PER_READER).for_each(|_| workload.subscribe(0, user));
    }
    let senders = start_senders(&workload, &world);
    progress.line("sending to readers only");
    watch(progress, CALM, &world.counters).await;
    let mut cost = load_with_slow(stack, &world, &mut workload, progress).await?;
    progress.line("waiting for answers and deliveries");
    workload.stop(senders).await?;
    let history = finish(workload, 0, &world, &stack.database_url()).await?;
    cost.after = usage(stack, GATEWAY, 0).await?.memory;
    let verdict = check(&history);
    let latencies = latency::latencies(&history.views);
    let max_ms = PROMISE.as_secs_f64() * 1e3;
    let is_in_time = latencies.percentiles().is_some_and(|it| it.max <= max_ms);
    let is_bounded = cost.peak <= cost.allowed() && cost.closed > 0;
    let is_kept = verdict.is_clean() && is_in_time && is_bounded;
    Ok(Measured { report: report(&cost, &latencies, &history.views, &verdict)?, is_kept })
}

/// The users: the owner of both rooms, then the readers, then the slow accounts.
const SLOW_USERS: Range<usize> = 1 + READER_ACCOUNTS..1 + READER_ACCOUNTS + SLOW_ACCOUNTS;

/// Two rooms with half of the readers each. The slow accounts are members of the first one.
fn plan(seed: u64) -> Plan {
    let duration = Duration::ZERO;
    let scale = Scale { users: SLOW_USERS.end, rooms: 0, duration, ..Scale::QUICK };
    let half = READER_ACCOUNTS / 2;
    let busy = (0..=half).chain(SLOW_USERS).collect();
    let other = std::iter::once(0).chain(half + 1..=READER_ACCOUNTS).collect();
    Plan { rooms: vec![busy, other], ..Plan::new(seed, scale) }
}

fn start_senders(workload: &Workload, world: &SharedWorld) -> JoinSet<Vec<Send>> {
    let mut senders = JoinSet::new();
    for (room, count) in SENDERS.into_iter().enumerate() {
        for number in 0..count {
            let name = format!("s{room}-{number}");
            senders.spawn(send(world.clone(), world.rooms[room].id, name, workload.phases()));
        }
    }
    senders
}

/// Sends messages until the run finishes. Records no sends.
async fn send(world: SharedWorld, room: i64, name: String, mut phases: Phases) -> Vec<Send> {
    tokio::select! {
        () = reached(&mut phases, Phase::Finishing) => {}
        () = send_forever(&world, room, &name) => {}
    }
    Vec::new()
}

/// Sends one message after the other, each again until it is stored.
async fn send_forever(world: &World, room: i64, name: &str) {
    let padding = "x".repeat(CONTENT_BYTES);
    let path = format!("/v1/messages/rooms/{room}");
    let mut ticks = interval(SEND_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0.. {
        ticks.tick().await;
        let key = format!("{name}-{number}");
        let content = format!("{key} {padding}");
        let message = json!({"content": content, "client_msg_id": key});
        let request = Request::post(&path, &message).bearer(&world.users[0].token);
        // A message that is not stored in time is not counted: the checker knows only deliveries.
        let _ = world.target.client.send_until_answered(request).await;
    }
}

/// Opens slow connections for a while and samples the memory of the gateway.
async fn load_with_slow(
    stack: &Stack,
    world: &SharedWorld,
    workload: &mut Workload,
    progress: &Progress,
) -> anyhow::Result<Cost> {
    let before = usage(stack, GATEWAY, 0).await?.memory;
    let closed_before = slow_clients_closed(stack).await?;
    progress.line(&format!("opening {SLOW_CONNECTIONS} connections that never read"));
    let until = Instant::now() + LOAD;
    let mut never_reading = JoinSet::new();
    for number in 0..SLOW_CONNECTIONS {
        let account = world.users[SLOW_USERS.start + number % SLOW_ACCOUNTS].clone();
        let is_replaying = number % REPLAYING == 0;
        let rng = workload.next_rng();
        never_reading.spawn(never_read(world.clone(), account, is_replaying, rng, until));
    }
    let mut peak = before;
    while Instant::now() < until {
        watch(progress, SAMPLE_INTERVAL, &world.counters).await;
        peak = peak.max(usage(stack, GATEWAY, 0).await?.memory);
    }
    let closed = slow_clients_closed(stack).await? - closed_before;
    let opened = join_all(&mut never_reading).await?.into_iter().sum();
    Ok(Cost { before, peak, after: 0, opened, closed })
}

/// The metric is missing until the first connection was closed.
async fn slow_clients_closed(stack: &Stack) -> anyhow::Result<u64> {
    let metrics = stack.metrics(GATEWAY, 0).await?;
    Ok(metric(&metrics, "parlance_gateway_slow_clients_closed_total").unwrap_or(0))
}

/// Opens one connection after the other, subscribes and does not read. Returns their number.
async fn never_read(
    world: SharedWorld,
    account: Account,
    is_replaying: bool,
    mut rng: StdRng,
    until: Instant,
) -> usize {
    let mut subscribe = json!({"type": "subscribe", "room_id": world.rooms[0].id});
    if is_replaying {
        subscribe["after_seq"] = 0.into();
    }
    let mut opened = 0;
    while Instant::now() < until {
        let options = WebSocketOptions {
            token: Some(account.token.clone()),
            timeout: ANSWER_TIMEOUT,
            receive_buffer: Some(RECEIVE_BUFFER),
            ..Default::default()
        };
        let connected = WebSocket::connect_with(world.target.gateways[0], options).await;
        let Ok(mut socket) = connected else {
            sleep(Duration::from_millis(rng.random_range(50..200))).await;
            continue;
        };
        opened += 1;
        // An error means that the gateway has closed the connection. The next one opens later, too.
        let _ = socket.send(&subscribe).await;
        let stays = Duration::from_secs_f64(rng.random_range(SLOW_SECONDS));
        sleep_until(until.min(Instant::now() + stays)).await;
    }
    opened
}

fn report(
    cost: &Cost,
    latencies: &Latencies,
    views: &[View],
    verdict: &Verdict,
) -> Result<String, std::fmt::Error> {
    let mut text = String::from("# Slow readers\n\n");
    writeln!(
        text,
        "{SLOW_CONNECTIONS} connections that subscribe to a busy room and never read, and {} \
         others at the same gateway that read, half of them in the same room, for {} s. Messages \
         of {CONTENT_BYTES} bytes. Latency is measured from commit to arrival. The promise is {} \
         s.\n",
        views.len(),
        LOAD.as_secs(),
        PROMISE.as_secs()
    )?;
    writeln!(text, "| | |\n| --- | ---: |")?;
    let mib = |bytes: u64| format!("{} MiB", bytes / MIB);
    let per_connection = CONNECTION_BYTES >> 10;
    let allowed = format!("allowed: that, the total bound, {per_connection} KiB a connection");
    let rows = [
        ("`MAX_QUEUED_BYTES`, for each connection", mib(MAX_QUEUED_BYTES)),
        ("`MAX_QUEUED_BYTES_TOTAL`, for all", mib(MAX_QUEUED_BYTES_TOTAL)),
        ("memory of the gateway before the slow connections", mib(cost.before)),
        ("at most", mib(cost.peak)),
        (&allowed, mib(cost.allowed())),
        ("after they had left", mib(cost.after)),
        ("slow connections opened", cost.opened.to_string()),
        ("of these closed as slow consumers (4429)", cost.closed.to_string()),
        ("deliveries to readers", latencies.count().to_string()),
        ("delivery, median, 99 %, slowest", latency::summary(latencies, ", ")),
    ];
    for (name, value) in rows {
        writeln!(text, "| {name} | {value} |")?;
    }
    text.push_str(&findings(verdict));
    Ok(text)
}
