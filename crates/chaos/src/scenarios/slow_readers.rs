//! A thousand sockets that ask for everything and never read cost a gateway no more memory than its
//! bounds allow, and a hundred others at the same gateway get everything in time.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::SinkExt;
use parlance_core::Clock;
use parlance_devstack::Stack;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::Measured;
use super::workload::Crowd;
use crate::api::{Api, Person};
use crate::checker::{Verdict, judge};
use crate::clients::socket::{RawSocket, Socket, connect_over};
use crate::clients::{Phase, Phases, Progress, SharedWorld, World, reached};
use crate::collect::collect;
use crate::history::{History, View};
use crate::latency::{Latencies, deliveries};
use crate::progress::Display;
use crate::resources::{metric, usage};

const GATEWAY: &str = "gateway";
/// At a time: a slow one comes back when its time is over, whether it was cut or not.
const SLOW_SOCKETS: usize = 1_000;
const SLOW_ACCOUNTS: usize = 10;
const SLOW_FOR: std::ops::Range<f64> = 10.0..20.0;
/// One of so many slow ones asks for what it has missed, too.
const CATCHING_UP: usize = 4;
/// The kernel rounds it up a little.
const RECEIVE_BUFFER: u32 = 4_096;
/// As many listen to the room that the slow ones are in as to another one.
const READER_ACCOUNTS: usize = 20;
const SOCKETS_PER_READER: usize = 5;
/// In the room of the slow ones, and in the other one; each sends so often.
const TALKERS: [usize; 2] = [4, 1];
const PAUSE: Duration = Duration::from_millis(60);
const CONTENT_BYTES: usize = 4_000;

const MAX_QUEUED_BYTES: u64 = 1 << 20;
const MAX_QUEUED_BYTES_TOTAL: u64 = 64 << 20;
/// The buffers of a socket itself while a long frame is written.
const SOCKET_BYTES: u64 = 140 << 10;
const MIB: u64 = 1 << 20;

const CALM: Duration = Duration::from_secs(8);
const LOAD: Duration = Duration::from_secs(60);
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// The latest that a message may come to those who read.
const PROMISE: Duration = Duration::from_secs(2);
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// What the gateway held, in bytes, and what it did.
struct Cost {
    before: u64,
    peak: u64,
    after: u64,
    opened: usize,
    cut: u64,
}

/// Starts one of everything, with bounds that are soon reached.
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
    display: &Display,
) -> anyhow::Result<Measured> {
    display.step("making people and rooms");
    let api = Api::at(&[stack.address(GATEWAY, 0)])?;
    let (world, slow) = make_world(api).await.context("cannot make the people and rooms")?;
    let mut crowd = Crowd::new(vec![world.clone()], seed);
    for person in 1..=READER_ACCOUNTS {
        (0..SOCKETS_PER_READER).for_each(|_| crowd.subscribe(0, person));
    }
    let talkers = start_talkers(&crowd, &world);
    display.step("talking to those who read");
    display.watch(CALM, &world.progress).await;
    let mut cost = ignore_everything(stack, &world, &slow, &mut crowd, display).await?;
    display.step("waiting for quiet");
    let (_, views) = crowd.finish(talkers).await?;
    cost.after = usage(stack, GATEWAY, 0).await?.memory;

    let mut history = History { views, ..History::default() };
    collect(&stack.database_url(), &world, &mut history).await?;
    let verdict = judge(&history);
    let latencies: Latencies = deliveries(&history.views).map(|(_, took)| took).collect();
    let is_in_time = latencies.slowest().is_some_and(|slowest| slowest <= PROMISE);
    let is_kept = verdict.is_clean() && is_in_time && cost.peak <= limit(&cost) && cost.cut > 0;
    Ok(Measured { report: report(&cost, &latencies, &history.views, &verdict)?, is_kept })
}

/// The most that the gateway may hold.
fn limit(cost: &Cost) -> u64 {
    cost.before + MAX_QUEUED_BYTES_TOTAL + SLOW_SOCKETS as u64 * SOCKET_BYTES
}

/// Two rooms of the same owner, person 0, with half of the readers each; and the accounts of the
/// slow ones, who are in the first.
async fn make_world(api: Api) -> anyhow::Result<(SharedWorld, Vec<Person>)> {
    let mut people = Vec::new();
    for number in 0..=READER_ACCOUNTS + SLOW_ACCOUNTS {
        people.push(api.register(number).await?);
    }
    for other in &people[1..] {
        api.befriend(&people[0], other).await?;
    }
    let slow = people.split_off(1 + READER_ACCOUNTS);
    let (near, far) = people[1..].split_at(READER_ACCOUNTS / 2);
    let crowded = api.make_room(&people[0], &near.iter().chain(&slow).collect::<Vec<_>>()).await?;
    let other = api.make_room(&people[0], &far.iter().collect::<Vec<_>>()).await?;
    let middle = READER_ACCOUNTS / 2;
    let rooms = vec![
        (crowded, (0..=middle).collect()),
        (other, [0].into_iter().chain(middle + 1..=READER_ACCOUNTS).collect()),
    ];
    let (clock, progress) = (Clock::system(), Progress::default());
    Ok((Arc::new(World { api, clock, people, rooms, villains: None, progress }), slow))
}

fn start_talkers(crowd: &Crowd, world: &SharedWorld) -> JoinSet<Vec<()>> {
    let mut talkers = JoinSet::new();
    for (room, count) in TALKERS.into_iter().enumerate() {
        for number in 0..count {
            let name = format!("t{room}-{number}");
            talkers.spawn(talk(world.clone(), world.rooms[room].0, name, crowd.phases()));
        }
    }
    talkers
}

/// Sends one message after the other until the run finishes. One that is not answered is sent
/// again.
async fn talk(world: SharedWorld, room: i64, name: String, mut phases: Phases) -> Vec<()> {
    let url = &world.api.socket_urls()[0];
    let padding = "x".repeat(CONTENT_BYTES);
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut socket: Option<Socket> = None;
    let mut number = 0;
    let talking = async {
        loop {
            ticks.tick().await;
            let key = format!("{name}-{number}");
            let said = timeout(
                ANSWER_DEADLINE,
                say(&mut socket, url, &world.people[0], room, &key, &padding),
            );
            match said.await {
                Ok(Ok(())) => number += 1,
                Ok(Err(_)) | Err(_) => socket = None,
            }
        }
    };
    tokio::select! {
        () = reached(&mut phases, Phase::Finishing) => Vec::new(),
        () = talking => Vec::new(),
    }
}

async fn say(
    socket: &mut Option<Socket>,
    url: &str,
    person: &Person,
    room: i64,
    key: &str,
    padding: &str,
) -> anyhow::Result<()> {
    let socket = match socket {
        Some(socket) => socket,
        None => socket.insert(Socket::open(url, person).await?),
    };
    let content = format!("{key} {padding}");
    let frame = json!({"type": "send_message", "room_id": room, "content": content, "client_msg_id": key, "ref": key});
    socket.send(&frame).await?;
    loop {
        let answer = socket.next().await?;
        if answer["ref"] == key {
            anyhow::ensure!(answer["type"] == "ack", "{answer}");
            return Ok(());
        }
    }
}

/// Has the slow ones come, and looks at the gateway meanwhile.
async fn ignore_everything(
    stack: &Stack,
    world: &SharedWorld,
    slow: &[Person],
    crowd: &mut Crowd,
    display: &Display,
) -> anyhow::Result<Cost> {
    let before = usage(stack, GATEWAY, 0).await?.memory;
    let cut_before = slow_clients_cut(stack).await?;
    display.step(&format!("{SLOW_SOCKETS} sockets come that never read"));
    let until = Instant::now() + LOAD;
    let mut ignoring = JoinSet::new();
    for number in 0..SLOW_SOCKETS {
        let person = slow[number % slow.len()].clone();
        let catches_up = number % CATCHING_UP == 0;
        ignoring.spawn(ignore(world.clone(), person, catches_up, crowd.next_rng(), until));
    }
    let mut peak = before;
    while Instant::now() < until {
        display.watch(LOOK_PAUSE, &world.progress).await;
        peak = peak.max(usage(stack, GATEWAY, 0).await?.memory);
    }
    let cut = slow_clients_cut(stack).await? - cut_before;
    let opened = crate::run::all(&mut ignoring).await?.into_iter().sum();
    Ok(Cost { before, peak, after: 0, opened, cut })
}

async fn slow_clients_cut(stack: &Stack) -> anyhow::Result<u64> {
    // It is not there before the first one.
    Ok(metric(&stack.metrics(GATEWAY, 0).await?, "parlance_gateway_slow_clients_closed_total")
        .unwrap_or(0))
}

/// Subscribes and does not read, again and again; how often.
async fn ignore(
    world: SharedWorld,
    person: Person,
    catches_up: bool,
    mut rng: StdRng,
    until: Instant,
) -> usize {
    let url = &world.api.socket_urls()[0];
    let mut subscribe = json!({"type": "subscribe", "room_id": world.rooms[0].0});
    if catches_up {
        subscribe["after_seq"] = 0.into();
    }
    let mut opened = 0;
    while Instant::now() < until {
        let Ok(mut socket) = connect(url, &person).await else {
            sleep(Duration::from_millis(rng.random_range(50..200))).await;
            continue;
        };
        opened += 1;
        // If it cannot be sent, the gateway has closed the socket, and the next one comes later,
        // too.
        let _ = timeout(ANSWER_DEADLINE, socket.send(Message::text(subscribe.to_string()))).await;
        let stays = Duration::from_secs_f64(rng.random_range(SLOW_FOR));
        sleep_until(until.min(Instant::now() + stays)).await;
    }
    opened
}

/// A connection of which the kernel takes little that is not read.
async fn connect(url: &str, person: &Person) -> anyhow::Result<RawSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    connect_over(socket, url, Some(person)).await
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
        "{SLOW_SOCKETS} sockets at a time that subscribe to a busy room and never read, and {} others at the same gateway that do, \
         half of them in the same room, for {} s. Messages of {CONTENT_BYTES} bytes. Delivery is measured from commit to arrival; \
         the promise is {} s.\n",
        views.len(),
        LOAD.as_secs(),
        PROMISE.as_secs()
    )?;
    writeln!(text, "| | |\n| --- | ---: |")?;
    writeln!(text, "| `MAX_QUEUED_BYTES`, for each connection | {} MiB |", MAX_QUEUED_BYTES / MIB)?;
    writeln!(text, "| `MAX_QUEUED_BYTES_TOTAL`, for all | {} MiB |", MAX_QUEUED_BYTES_TOTAL / MIB)?;
    writeln!(
        text,
        "| memory of the gateway before the slow ones came | {} MiB |",
        cost.before / MIB
    )?;
    writeln!(text, "| at most | {} MiB |", cost.peak / MIB)?;
    writeln!(
        text,
        "| allowed: that before, the bound for all, {} KiB a socket | {} MiB |",
        SOCKET_BYTES >> 10,
        limit(cost) / MIB
    )?;
    writeln!(text, "| after they had left | {} MiB |", cost.after / MIB)?;
    writeln!(text, "| slow sockets opened | {} |", cost.opened)?;
    writeln!(text, "| of these closed as too slow (4429) | {} |", cost.cut)?;
    writeln!(text, "| deliveries to those who read | {} |", latencies.count())?;
    writeln!(
        text,
        "| delivery, median, 99 %, slowest | {} |",
        latencies.to_string().replace(" |", ",")
    )?;
    text.push_str(&super::findings(verdict)?);
    Ok(text)
}
