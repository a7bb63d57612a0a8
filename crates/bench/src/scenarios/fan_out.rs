//! *Fan-out*: one room with very many subscribers, in deliveries a second.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use parlance_measure::Scale;
use serde_json::json;

use crate::baselines::{broadcast, process};
use crate::bench::Bench;
use crate::curve::{Curve, Points};
use crate::goal::Goal;
use crate::load::CONTENT;
use crate::load::fan_out::{Ready, Tally};
use crate::load::sends::fill_room;
use crate::open_files;
use crate::report::Findings;
use crate::row::{Baseline, Measured, Row};
use crate::scenario::Scenario;
use crate::setup::Group;
use crate::usage::{ByPart, Usage};
use crate::ws::{CountingSocket, Endpoint, Socket};

/// Members of the room. The subscribers are sockets of theirs.
const MEMBERS: usize = 50;
/// Sockets that are being opened.
const CONCURRENCY: usize = 32;
const UNIT: &str = "deliveries/s";
/// The subscribers of the curve.
const SUBSCRIBERS: [usize; 4] = [10, 100, 1_000, 3_000];

/// A variant of the load.
#[derive(Clone, Copy, Debug)]
struct Variant {
    name: &'static str,
    senders: usize,
    /// Messages of each sender that are in flight.
    in_flight: usize,
    goals: &'static [Goal],
    /// Half of what the bare server delivers on a quiet machine with two cores.
    min_baseline: f64,
}

const VARIANTS: [Variant; 2] = [
    Variant {
        name: "1 sender, 1 in flight",
        senders: 1,
        in_flight: 1,
        goals: &[Goal::RatioAtLeast(0.7)],
        min_baseline: 55_000.0,
    },
    Variant {
        name: "10 senders, 16 in flight each",
        senders: 10,
        in_flight: 16,
        goals: &[Goal::RatioAtLeast(0.7), Goal::AtLeast(300_000.0)],
        min_baseline: 250_000.0,
    },
];

pub(super) async fn run(bench: &Bench<'_>) -> anyhow::Result<Findings> {
    let subscribers = bench.scale.subscribers;
    open_files::ensure_limit(SUBSCRIBERS.into_iter().fold(subscribers, usize::max))?;
    let group = bench.setup.group(MEMBERS).await?;
    let event = receive_event(bench, &group).await?;
    let mut findings = Findings::default();
    for variant in VARIANTS {
        findings.rows.push(measure(bench, &group, variant, &event).await?);
    }
    findings.curves.push(curve(bench, &group).await?);
    Ok(findings)
}

/// Measures a variant beside the bare server that broadcasts messages and the one that broadcasts
/// events.
async fn measure(
    bench: &Bench<'_>,
    group: &Group,
    variant: Variant,
    event: &str,
) -> anyhow::Result<Row> {
    let bare_servers = [("bare server", CONTENT), ("bare server with whole events", event)];
    let mut bare = [const { Vec::new() }; 2];
    let (mut rounds, subscribers) = (Vec::new(), bench.scale.subscribers);
    for round in 0..bench.scale.rounds {
        for ((name, text), measured) in bare_servers.iter().zip(&mut bare) {
            bench.step(Scenario::FanOut, round, &format!("{name}, {}", variant.name));
            measured.push(measure_bare_server(bench, variant, text).await?);
        }
        bench.step(Scenario::FanOut, round, variant.name);
        let duration = bench.scale.duration;
        rounds.push(measure_parlance(bench, group, variant, subscribers, duration).await?);
    }
    let name = format!("{} to {subscribers}: {}", Scenario::FanOut.name(), variant.name);
    let row = Row::new(name, UNIT, &rounds);
    let events = Baseline::from_rounds("", &bare[1], None);
    let note = format!(
        "beside the bare server with events as long as Parlance's, {}",
        row.clone().with_baseline(events).comparison(),
    );
    let minimum = Some(variant.min_baseline);
    Ok(row
        .with_baseline(Baseline::from_rounds("bare broadcast server", &bare[0], minimum))
        .with_note(note)
        .with_goals(variant.goals.iter().copied()))
}

/// Measures each variant with growing numbers of subscribers.
async fn curve(bench: &Bench<'_>, group: &Group) -> anyhow::Result<Curve> {
    let mut lines = [const { Points::new() }; 2];
    for subscribers in SUBSCRIBERS {
        for (variant, points) in VARIANTS.into_iter().zip(&mut lines) {
            let name = Scenario::FanOut.name();
            bench.progress.step(&format!("{name} to {subscribers}: {}", variant.name));
            let duration = bench.scale.point;
            let measured = measure_parlance(bench, group, variant, subscribers, duration).await?;
            points.push((subscribers as f64, measured.figure));
        }
    }
    Ok(Curve {
        file: "fan-out.svg",
        title: "Deliveries over subscribers of one room",
        x: "subscribers",
        y: "deliveries a second",
        scales: (Scale::Log, Scale::Log),
        lines: ["1 message in flight", "160 messages in flight"].into_iter().zip(lines).collect(),
    })
}

async fn measure_parlance(
    bench: &Bench<'_>,
    group: &Group,
    variant: Variant,
    subscribers: usize,
    duration: Duration,
) -> anyhow::Result<Measured> {
    let ready = connect_to_parlance(bench, group, variant, subscribers).await?;
    let (tally, usage) = bench.measure(duration, |window| ready.run(window)).await?;
    Ok(measured(duration, tally, usage))
}

/// The bare server broadcasts any text.
async fn measure_bare_server(
    bench: &Bench<'_>,
    variant: Variant,
    text: &str,
) -> anyhow::Result<Measured> {
    let server = process::Server::start(broadcast::COMMAND, "").await?;
    let ready = connect_to_bare_server(bench, &server, variant, text).await?;
    let duration = bench.scale.duration;
    let (tally, usage) =
        bench.measure_baseline(&server, duration, |window| ready.run(window)).await?;
    Ok(measured(duration, tally, usage))
}

fn measured(duration: Duration, tally: Tally, usage: ByPart<Usage>) -> Measured {
    let figure = tally.deliveries as f64 / duration.as_secs_f64();
    Measured { figure, operations: tally.deliveries, latencies: Some(tally.latencies), usage }
}

/// Returns the event that a subscriber receives for a message.
async fn receive_event(bench: &Bench<'_>, group: &Group) -> anyhow::Result<String> {
    let mut socket = bench.setup.connect(0, &group.members[0]).await?;
    socket.subscribe(group.room, None).await?;
    fill_room(&bench.setup, group, 1).await?;
    Ok(socket.next().await?.to_string())
}

async fn connect_to_parlance(
    bench: &Bench<'_>,
    group: &Group,
    variant: Variant,
    subscribers: usize,
) -> anyhow::Result<Ready> {
    let Group { room, members } = group;
    let subscriptions = members.iter().cycle().map(|member| (*room, member)).take(subscribers);
    let subscribers = bench.setup.subscribe(subscriptions).await?;
    let subscribers = subscribers.into_iter().map(Socket::into_counting).collect();
    let message = json!({"type": "send_message", "room_id": room, "content": CONTENT, "ref": "s"})
        .to_string();
    let mut senders = Vec::new();
    for (number, member) in members.iter().take(variant.senders).enumerate() {
        senders.push((bench.setup.connect(number, member).await?, message.clone()));
    }
    Ok(Ready { subscribers, senders, in_flight: variant.in_flight, acks: 1 })
}

async fn connect_to_bare_server(
    bench: &Bench<'_>,
    server: &process::Server,
    variant: Variant,
    text: &str,
) -> anyhow::Result<Ready> {
    let endpoint = |path| Endpoint { address: server.address, path };
    let subscribing = stream::iter(0..bench.scale.subscribers).map(|_| async {
        let socket = endpoint(broadcast::LISTEN).connect(None, None).await?;
        anyhow::Ok(socket.into_counting())
    });
    let subscribers: Vec<CountingSocket> = subscribing.buffered(CONCURRENCY).try_collect().await?;
    let mut senders = Vec::new();
    for _ in 0..variant.senders {
        let socket = endpoint(broadcast::SEND).connect(None, None).await?;
        senders.push((socket, text.to_owned()));
    }
    Ok(Ready { subscribers, senders, in_flight: variant.in_flight, acks: 0 })
}
