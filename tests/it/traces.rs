//! Traces: a collector receives the spans of a message from the request to the WebSockets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use parlance_client::Request;
use parlance_devstack::{Arrow, Stack, StackBuilder, free_port};
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{
    Collector, Person, Span, eventually, make_room, on_own_stack, people, person,
};
use crate::ws::{message_to, message_with_ref};

/// Longer than a span takes to arrive at the collector.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// A stack that exports this share of all traces to a collector.
fn observed(collector: SocketAddr, ratio: &str) -> StackBuilder {
    let parts = ["gateway", "auth", "contacts", "rooms", "messaging"];
    let endpoint = format!("http://{collector}");
    let builder = Stack::builder()
        .environment("gateway", "OTEL_TRACES_SAMPLER_ARG", ratio)
        // Probe messages belong to no trace and would be in batches.
        .environment("gateway", "PROBE_INTERVAL", "3600");
    parts.iter().fold(builder, |builder, part| {
        builder.environment(part, "OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
    })
}

/// Connects each gateway only to the replica of messaging with the same index, so that events
/// between gateways pass through Redis.
fn one_replica_each() -> impl Fn(&Arrow) -> anyhow::Result<SocketAddr> + Send + Sync {
    let addresses = Mutex::new(BTreeMap::new());
    move |arrow| {
        if (arrow.caller, arrow.callee) != ("gateway", "messaging") {
            return Ok(arrow.address);
        }
        let mut addresses = addresses.lock().unwrap();
        addresses.insert(arrow.callee_index, arrow.address);
        // The stack asks for the addresses of the first gateway first.
        Ok(*addresses.get(&arrow.caller_index).unwrap_or(&arrow.address))
    }
}

/// The name of the spans of a membership check, at the caller and at the callee.
const CHECK: &str = "parlance.rooms.v1.RoomsService/CheckMemberships";

/// The spans of a message below the span of the request.
const SPANS: [&str; 10] = [
    "submit message",
    "store message",
    "batch",
    CHECK,
    CHECK,
    "messaging.write_batch",
    "publish room:{id}",
    "receive room:{id}",
    "deliver event",
    "write to sockets",
];

/// The spans of one trace.
struct Trace(Vec<Span>);

impl Trace {
    /// Waits until all spans of the trace with this id have arrived.
    async fn complete(collector: &Collector, id: &str, root: &str) -> Self {
        let trace =
            || Self(collector.spans().into_iter().filter(|span| span.trace_id == id).collect());
        eventually(EXPORT_TIMEOUT, "all spans arrive", async || trace().has_all(root)).await;
        trace()
    }

    fn has_all(&self, root: &str) -> bool {
        let count = |name| self.0.iter().filter(|span| span.name == name).count();
        let wanted = |name| SPANS.iter().filter(|span| **span == name).count();
        count(root) > 0 && SPANS.iter().all(|&name| count(name) >= wanted(name))
    }

    fn parent(&self, span: &Span) -> Option<&Span> {
        self.0.iter().find(|other| other.id == span.parent_id)
    }

    /// The only span with this name.
    #[track_caller]
    fn span(&self, name: &str) -> &Span {
        let found: Vec<&Span> = self.0.iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found[0]
    }

    /// The services and names of the spans from the root to this one.
    fn path_to<'a>(&'a self, span: &'a Span) -> Vec<(&'a str, &'a str)> {
        let above = std::iter::successors(Some(span), |span| self.parent(span));
        let mut path: Vec<_> =
            above.map(|span| (span.service.as_str(), span.name.as_str())).collect();
        path.reverse();
        path
    }
}

/// Asserts that a trace has all spans of a message below the span of the request.
fn assert_followed(trace: &Trace, root: &str) {
    let sent = [("gateway", root), ("gateway", "submit message"), ("messaging", "store message")];
    let from_sent = |path: &[(&'static str, &'static str)]| [&sent[..], path].concat();

    let written = trace.span("write to sockets");
    let published = [("messaging", "publish room:{id}"), ("messaging", "receive room:{id}")];
    let delivered = [("gateway", "deliver event"), ("gateway", "write to sockets")];
    assert_eq!(trace.path_to(written), from_sent(&[&published[..], &delivered].concat()));

    let stored = trace.span("messaging.write_batch");
    assert_eq!(
        trace.path_to(stored),
        from_sent(&[("messaging", "batch"), ("messaging", "messaging.write_batch")])
    );
    let checks = || trace.0.iter().filter(|span| span.name == CHECK);
    let checked = checks().find(|span| span.kind == SERVER).expect("the call to rooms has a span");
    assert_eq!(
        trace.path_to(checked),
        from_sent(&[("messaging", "batch"), ("messaging", CHECK), ("rooms", CHECK)])
    );
    assert!(checks().any(|span| span.kind == CLIENT && span.id == checked.parent_id));

    let (message, batch) = (trace.span("store message"), trace.span("batch"));
    assert_eq!(message.events, ["taken into a batch", "admitted", "committed"]);
    assert_eq!(
        (&message.links, &batch.links),
        (&vec![batch.id.clone()], &vec![message.id.clone()])
    );
    assert_eq!(batch.attributes["messaging.batch.message_count"], "1");

    // The event was delivered by another replica and another gateway.
    let instance = |name: &str| trace.span(name).instance.as_str();
    assert_ne!(instance("publish room:{id}"), instance("receive room:{id}"));
    assert_ne!(instance("submit message"), instance("deliver event"));
    assert_eq!(trace.span("deliver event").attributes["parlance.subscribers"], "1");

    let end = |name: &str| trace.span(name).end;
    assert!(checked.end <= stored.begin && stored.end <= end("store message"));
    assert!(stored.end <= trace.span("publish room:{id}").begin);
    assert!(trace.span("receive room:{id}").begin <= trace.span("deliver event").begin);
    assert!(written.begin <= end("deliver event") && written.begin < written.end);
}

#[tokio::test]
async fn a_trace_covers_a_message_from_the_request_to_another_gateway() {
    let collector = Collector::start().await;
    let builder =
        observed(collector.address, "1").replicas(2).gateways(2).wiring(one_replica_each());
    on_own_stack(builder, async |stack| {
        let [anna, ben] = people(stack).await;
        let room = make_room(&anna, &[&ben]).await;
        // The first message of a room takes a second write: its row in room_heads is missing.
        anna.send_message(room, "First").await;
        let mut bens = ben.at(stack, 1).subscribed(room).await;

        let (trace_id, parent_id) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let path = format!("/v1/messages/rooms/{room}");
        let request = Request::post(path, &json!({"content": "Hello"}))
            .header("traceparent", format!("00-{trace_id}-{parent_id}-00"));
        let answer = anna.send(request).await;
        let request_id = answer.header("x-request-id").to_owned();
        answer.ok(201);
        assert_eq!(bens.next().await["message"]["content"], "Hello");

        let root = "POST /v1/messages/rooms/{room_id}";
        let trace = Trace::complete(&collector, trace_id, root).await;
        assert_followed(&trace, root);
        let root = trace.span(root);
        assert_eq!((root.parent_id.as_str(), root.kind), (parent_id, SERVER));
        let attribute = |name: &str| root.attributes[name].as_str();
        assert_eq!(attribute("http.request.method"), "POST");
        assert_eq!(attribute("http.route"), "/v1/messages/rooms/{room_id}");
        assert_eq!(attribute("http.response.status_code"), "201");
        assert_eq!(attribute("url.path"), format!("/v1/messages/rooms/{room}"));
        assert_eq!(attribute("parlance.request.id"), request_id);

        let mut annas = anna.socket().await;
        assert_eq!(annas.ask(&message_with_ref(room, "Hello again", "1")).await["type"], "ack");
        assert_eq!(bens.next().await["message"]["content"], "Hello again");
        let root = "websocket send_message";
        let frame = || collector.spans().into_iter().find(|span| span.name == root);
        eventually(EXPORT_TIMEOUT, root, async || frame().is_some()).await;
        let trace = Trace::complete(&collector, &frame().unwrap().trace_id, root).await;
        assert_followed(&trace, root);
        assert_eq!((trace.span(root).parent_id.as_str(), trace.span(root).kind), ("", SERVER));
    })
    .await;
}

#[tokio::test]
async fn messages_of_one_batch_have_spans_of_their_own() {
    const MESSAGES: usize = 100;
    let collector = Collector::start().await;
    on_own_stack(observed(collector.address, "1"), async |stack| {
        let anna = person(stack).await;
        let room = make_room(&anna, &[]).await;
        let mut socket = anna.subscribed(room).await;
        // All of them wait for messaging, which then takes them in one batch.
        stack.process("messaging", 0).pause().unwrap();
        for number in 0..MESSAGES {
            socket.send(&message_to(room, &number.to_string())).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        stack.process("messaging", 0).resume().unwrap();
        for _ in 0..MESSAGES {
            assert_eq!(socket.next().await["type"], "message");
        }
        let named = |name: &str| -> Vec<Span> {
            collector.spans().into_iter().filter(|span| span.name == name).collect()
        };
        let is_in_room = |span: &Span| span.attributes["parlance.room.id"] == room.to_string();
        let stored = || named("store message").into_iter().filter(is_in_room).collect::<Vec<_>>();
        let batch = |message: &Span, batches: &[Span]| {
            batches.iter().find(|batch| message.links == [batch.id.as_str()]).cloned()
        };
        let last = ["write to sockets", "websocket send_message"];
        // Each process exports its spans at its own times.
        eventually(EXPORT_TIMEOUT, "all spans arrive", async || {
            let (stored, batches) = (stored(), named("batch"));
            last.iter().all(|name| named(name).len() == MESSAGES)
                && stored.len() == MESSAGES
                && stored.iter().all(|message| batch(message, &batches).is_some())
        })
        .await;

        let batches = named("batch");
        assert!(batches.iter().any(|batch| batch.links.len() > 1), "no batch has several messages");
        for message in stored() {
            let batch = batch(&message, &batches).unwrap();
            assert!(batch.links.contains(&message.id));
            assert_eq!(
                batch.attributes["messaging.batch.message_count"],
                batch.links.len().to_string()
            );
        }
        let traces =
            |spans: Vec<Span>| spans.into_iter().map(|span| span.trace_id).collect::<BTreeSet<_>>();
        assert_eq!(traces(named(last[0])), traces(named(last[1])));
    })
    .await;
}

/// Sends a request whose `traceparent` has the sampled flag or not.
async fn ask_sampled(person: &Person, sampled: bool) {
    let parent = format!(
        "00-{:032x}-b7ad6b7169203331-0{}",
        rand::random::<u128>().max(1),
        u8::from(sampled)
    );
    person.send(Request::get("/v1/rooms").header("traceparent", parent)).await.ok(200);
}

#[tokio::test]
async fn a_client_cannot_force_more_traces_than_the_limit() {
    let collector = Collector::start().await;
    on_own_stack(observed(collector.address, "0"), async |stack| {
        let anna = person(stack).await;
        ask_sampled(&anna, false).await;
        let begin = Instant::now();
        for _ in 0..50 {
            ask_sampled(&anna, true).await;
        }
        let allowed = begin.elapsed().as_secs() as usize + 2;
        let name = "GET /v1/rooms";
        let recorded = || collector.spans().iter().filter(|span| span.name == name).count();
        eventually(EXPORT_TIMEOUT, "a trace is recorded", async || recorded() > 0).await;
        // A process exports its last spans when it ends.
        stack.stop().await.unwrap();
        assert!((1..=allowed).contains(&recorded()), "{} of at most {allowed}", recorded());
    })
    .await;
}

/// The number of spans that a gateway has dropped.
async fn dropped_spans(stack: &Stack) -> u64 {
    let metrics = stack.metrics("gateway", 0).await.unwrap();
    let line = metrics.lines().find(|line| line.starts_with("parlance_process_spans_lost_total"));
    line.expect("the metric is shown").rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// Sends messages over a WebSocket and waits for the answer to each.
async fn send_many(person: &Person, room: i64, count: usize) {
    let mut socket = person.socket().await;
    for number in 0..count {
        let ack = socket.ask(&message_with_ref(room, "Hello", &number.to_string())).await;
        assert_eq!(ack["type"], "ack", "{ack}");
    }
}

#[tokio::test]
async fn messages_are_delivered_while_the_collector_is_away() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
    on_own_stack(observed(address, "1"), async |stack| {
        let anna = person(stack).await;
        let room = make_room(&anna, &[]).await;
        send_many(&anna, room, 50).await;
        eventually(EXPORT_TIMEOUT, "spans are lost", async || dropped_spans(stack).await > 0).await;

        let collector = Collector::start_at(address).await;
        eventually(EXPORT_TIMEOUT, "spans arrive", async || {
            send_many(&anna, room, 1).await;
            collector.spans().iter().any(|span| span.name == "store message")
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_hanging_collector_does_not_delay_messages() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    on_own_stack(observed(silent.local_addr().unwrap(), "1"), async |stack| {
        let anna = person(stack).await;
        let room = make_room(&anna, &[]).await;
        eventually(Duration::from_secs(60), "the queue of spans overflows", async || {
            send_many(&anna, room, 200).await;
            dropped_spans(stack).await > 0
        })
        .await;
        let gateway = stack.process("gateway", 0);
        gateway.terminate().unwrap();
        assert!(gateway.wait(Duration::from_secs(15)).await.unwrap().success());
    })
    .await;
}
