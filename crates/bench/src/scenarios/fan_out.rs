//! *Fan-out*: one room with very many subscribers, deliveries a second.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::{Bench, Scenario};
use crate::api::{Api, Circle};
use crate::files;
use crate::load::CONTENT;
use crate::load::fan_out::{Ready, Tally};
use crate::load::sends::fill_room;
use crate::report::Findings;
use crate::result::{Goal, Measured, Row, Yardstick};
use crate::usage::{ByPart, Usage, Window};
use crate::wire::{CountingSocket, Door, Socket};
use crate::yardsticks::{broadcast, child, pgbench};

/// Who have the subscribers' sockets.
const MEMBERS: usize = 50;
/// Sockets that are opened at once.
const AT_ONCE: usize = 32;
const UNIT: &str = "deliveries/s";
/// The subscribers of the curve.
const CROWDS: [usize; 4] = [10, 100, 1_000, 3_000];

/// How much is said at once.
#[derive(Clone, Copy, Debug)]
struct Shape {
    name: &'static str,
    senders: usize,
    /// Messages of each sender that not all subscribers have.
    in_flight: usize,
    goals: &'static [Goal],
    /// Half of what a bare server was seen to deliver on a quiet machine of this kind.
    least: f64,
}

const SHAPES: [Shape; 2] = [
    Shape {
        name: "1 sender, 1 in flight",
        senders: 1,
        in_flight: 1,
        goals: &[Goal::RatioAtLeast(0.7)],
        least: 55_000.0,
    },
    Shape {
        name: "10 senders, 16 in flight each",
        senders: 10,
        in_flight: 16,
        goals: &[Goal::RatioAtLeast(0.7), Goal::AtLeast(300_000.0)],
        least: 250_000.0,
    },
];

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let subscribers = bench.scale.subscribers;
    files::ensure_allowed(CROWDS.into_iter().fold(subscribers, usize::max))?;
    let circle = bench.api.circle(MEMBERS).await?;
    let event = event_of(bench, &circle).await?;
    let mut findings = Findings::default();
    for shape in SHAPES {
        let (mut rounds, mut bare) = (Vec::new(), Vec::new());
        let (mut with_events, mut storing) = (Vec::new(), Vec::new());
        for round in 0..bench.scale.rounds {
            bench.step(Scenario::FanOut, round, &format!("bare server, {}", shape.name));
            bare.push(of_bare_server(bench, shape, CONTENT, "").await?);
            bench.step(
                Scenario::FanOut,
                round,
                &format!("bare server with whole events, {}", shape.name),
            );
            with_events.push(of_bare_server(bench, shape, &event, "").await?);
            bench.step(
                Scenario::FanOut,
                round,
                &format!("bare server that stores them, {}", shape.name),
            );
            let database = pgbench::database_url(&bench.stack);
            storing.push(of_bare_server(bench, shape, &event, &database).await?);
            bench.step(Scenario::FanOut, round, shape.name);
            rounds
                .push(of_parlance(bench, &circle, shape, subscribers, bench.scale.duration).await?);
        }
        let name = format!("{} to {subscribers}: {}", Scenario::FanOut.name(), shape.name);
        let yardstick = Yardstick::served("bare broadcast server", &bare, Some(shape.least));
        let row = Row::new(name, UNIT, &rounds)?;
        let beside = |rounds: &[Measured]| {
            row.clone().beside(Yardstick::served("", rounds, None)).compared()
        };
        let note = format!(
            "beside the bare server with events as long as Parlance's, {}<br>that stores them first, {}",
            beside(&with_events),
            beside(&storing),
        );
        let row = row.beside(yardstick).with_note(note);
        findings.rows.push(row.with_goals(shape.goals.iter().copied()));
    }
    findings.curves.fan_out = curve(bench, &circle).await?;
    Ok(findings)
}

/// Each shape over growing numbers of subscribers.
async fn curve(bench: &Bench<'_>, circle: &Circle) -> anyhow::Result<Vec<(usize, [f64; 2])>> {
    let mut points = Vec::new();
    for subscribers in CROWDS {
        let mut point = [0.0; 2];
        for (shape, figure) in SHAPES.into_iter().zip(&mut point) {
            bench.display.step(&format!(
                "{} to {subscribers}: {}",
                Scenario::FanOut.name(),
                shape.name
            ));
            *figure =
                of_parlance(bench, circle, shape, subscribers, bench.scale.point).await?.figure;
        }
        points.push((subscribers, point));
    }
    Ok(points)
}

async fn of_parlance(
    bench: &Bench<'_>,
    circle: &Circle,
    shape: Shape,
    subscribers: usize,
    duration: Duration,
) -> anyhow::Result<Measured> {
    let ready = in_parlance(bench, circle, shape, subscribers).await?;
    let window = Window::after(bench.scale.warm_up, duration);
    let (tally, usage) = tokio::join!(ready.run(window), window.watch(&bench.stack));
    Ok(measured(window, tally?, usage))
}

/// Whatever the text says, the bare server passes it on, after it has stored it if there is a
/// database.
async fn of_bare_server(
    bench: &Bench<'_>,
    shape: Shape,
    text: &str,
    database: &str,
) -> anyhow::Result<Measured> {
    let server = child::Yardstick::start(broadcast::COMMAND, database).await?;
    let ready = at_bare_server(server.address, bench.scale.subscribers, shape, text).await?;
    let window = Window::after(bench.scale.warm_up, bench.scale.duration);
    let (tally, usage) =
        tokio::join!(ready.run(window), window.watch_process("bare server", server.id));
    Ok(measured(window, tally?, usage))
}

fn measured(window: Window, tally: Tally, usage: ByPart<Usage>) -> Measured {
    let figure = tally.deliveries as f64 / window.length().as_secs_f64();
    Measured { figure, operations: tally.deliveries, latencies: Some(tally.latencies), usage }
}

/// What a subscriber gets of a message.
async fn event_of(bench: &Bench<'_>, circle: &Circle) -> anyhow::Result<String> {
    let mut socket = bench.api.door(0).open(None, Some(&circle.members[0].token)).await?;
    socket.subscribe(&[circle.room]).await?;
    fill_room(&bench.api, circle, 1).await?;
    Ok(String::from_utf8(socket.next().await?.to_vec())?)
}

async fn in_parlance(
    bench: &Bench<'_>,
    circle: &Circle,
    shape: Shape,
    subscribers: usize,
) -> anyhow::Result<Ready> {
    let Circle { room, members } = circle;
    let message = json!({"type": "send_message", "room_id": room, "content": CONTENT, "ref": "s"})
        .to_string();
    let subscribing = stream::iter(0..subscribers).map(|number| {
        subscriber(&bench.api, *room, number, &members[number % members.len()].token)
    });
    let subscribers = subscribing.buffered(AT_ONCE).try_collect().await?;
    let mut senders = Vec::new();
    for (number, member) in members.iter().take(shape.senders).enumerate() {
        let mut socket = bench.api.door(number).open(None, Some(&member.token)).await?;
        socket.next().await?;
        senders.push((socket, message.clone()));
    }
    Ok(Ready { subscribers, senders, in_flight: shape.in_flight, answers: 1 })
}

async fn subscriber(
    api: &Api,
    room: i64,
    number: usize,
    token: &str,
) -> anyhow::Result<CountingSocket> {
    let mut socket = api.door(number).open(None, Some(token)).await?;
    socket.subscribe(&[room]).await?;
    socket.into_counting()
}

async fn at_bare_server(
    address: SocketAddr,
    subscribers: usize,
    shape: Shape,
    text: &str,
) -> anyhow::Result<Ready> {
    let door = |path| Door { address, path };
    let listening = stream::iter(0..subscribers)
        .map(|_| async { door(broadcast::LISTEN).open(None, None).await?.into_counting() });
    let subscribers = listening.buffered(AT_ONCE).try_collect().await?;
    let mut senders: Vec<(Socket, String)> = Vec::new();
    for _ in 0..shape.senders {
        senders.push((door(broadcast::SEND).open(None, None).await?, text.to_owned()));
    }
    Ok(Ready { subscribers, senders, in_flight: shape.in_flight, answers: 0 })
}
