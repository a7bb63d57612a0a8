//! Traces: a message is followed from the request to the sockets, by a collector that gets every
//! step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use parlance_client::Request;
use parlance_devstack::{Arrow, Stack, StackBuilder, free_port};
use serde_json::json;
use tokio::net::TcpListener;

use crate::faults::on_stack_of;
use crate::support::{Collector, Person, Step, eventually, make_room, people, person};
use crate::ws::{message_to, message_with_ref};

/// What is recorded comes within this time.
const EXPORTED: Duration = Duration::from_secs(10);

const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// A stack that tells this collector of so many traces.
fn observed(collector: SocketAddr, ratio: &str) -> StackBuilder {
    let parts = ["gateway", "auth", "contacts", "rooms", "messaging"];
    let endpoint = format!("http://{collector}");
    let builder = Stack::builder()
        .environment("gateway", "OTEL_TRACES_SAMPLER_ARG", ratio)
        // No batch holds a canary, which belongs to no trace.
        .environment("gateway", "CANARY_INTERVAL", "3600");
    parts.iter().fold(builder, |builder, part| {
        builder.environment(part, "OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
    })
}

/// Lets each gateway know only the replica of messaging with its own number, so that events take
/// the way over Redis.
fn apart() -> impl Fn(&Arrow) -> anyhow::Result<SocketAddr> + Send + Sync {
    let addresses = Mutex::new(BTreeMap::new());
    move |arrow| {
        if (arrow.caller, arrow.callee) != ("gateway", "messaging") {
            return Ok(arrow.address);
        }
        let mut addresses = addresses.lock().unwrap();
        addresses.insert(arrow.callee_index, arrow.address);
        // The first gateway is told of all replicas before the second one is.
        Ok(*addresses.get(&arrow.caller_index).unwrap_or(&arrow.address))
    }
}

/// What a check of memberships is called, on both sides.
const CHECK: &str = "parlance.rooms.v1.RoomsService/CheckMemberships";

/// The steps of a message below the one in which the first gateway was asked to send it.
const STEPS: [&str; 10] = [
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

/// The trace of a message.
struct Trace(Vec<Step>);

impl Trace {
    /// The one with this id, as soon as all steps have come.
    async fn complete(collector: &Collector, id: &str, root: &str) -> Self {
        let trace =
            || Self(collector.steps().into_iter().filter(|step| step.trace_id == id).collect());
        eventually(EXPORTED, "all steps come", async || trace().has_all(root)).await;
        trace()
    }

    fn has_all(&self, root: &str) -> bool {
        let count = |name| self.0.iter().filter(|step| step.name == name).count();
        let wanted = |name| STEPS.iter().filter(|step| **step == name).count();
        count(root) > 0 && STEPS.iter().all(|&name| count(name) >= wanted(name))
    }

    fn parent(&self, step: &Step) -> Option<&Step> {
        self.0.iter().find(|other| other.id == step.parent_id)
    }

    /// The only step of this name.
    #[track_caller]
    fn step(&self, name: &str) -> &Step {
        let found: Vec<&Step> = self.0.iter().filter(|step| step.name == name).collect();
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found[0]
    }

    /// From the root to this step, as programs and names.
    fn way_to<'a>(&'a self, step: &'a Step) -> Vec<(&'a str, &'a str)> {
        let above = std::iter::successors(Some(step), |step| self.parent(step));
        let mut way: Vec<_> =
            above.map(|step| (step.service.as_str(), step.name.as_str())).collect();
        way.reverse();
        way
    }
}

/// Demands all that happened to a message, below the step in which the first gateway was asked to
/// send it.
fn assert_followed(trace: &Trace, root: &str) {
    let sent = [("gateway", root), ("gateway", "submit message"), ("messaging", "store message")];
    let from_sent = |way: &[(&'static str, &'static str)]| [&sent[..], way].concat();

    let written = trace.step("write to sockets");
    let told = [("messaging", "publish room:{id}"), ("messaging", "receive room:{id}")];
    let delivered = [("gateway", "deliver event"), ("gateway", "write to sockets")];
    assert_eq!(trace.way_to(written), from_sent(&[&told[..], &delivered].concat()));

    let stored = trace.step("messaging.write_batch");
    assert_eq!(
        trace.way_to(stored),
        from_sent(&[("messaging", "batch"), ("messaging", "messaging.write_batch")])
    );
    let checks = || trace.0.iter().filter(|step| step.name == CHECK);
    let checked = checks().find(|step| step.kind == SERVER).expect("rooms was asked");
    assert_eq!(
        trace.way_to(checked),
        from_sent(&[("messaging", "batch"), ("messaging", CHECK), ("rooms", CHECK)])
    );
    assert!(checks().any(|step| step.kind == CLIENT && step.id == checked.parent_id));

    let (message, batch) = (trace.step("store message"), trace.step("batch"));
    assert_eq!(message.events, ["taken into a batch", "admitted", "committed"]);
    assert_eq!(
        (&message.links, &batch.links),
        (&vec![batch.id.clone()], &vec![message.id.clone()])
    );
    assert_eq!(batch.attributes["messaging.batch.message_count"], "1");

    // Another replica and another gateway than those it was sent through.
    let instance = |name: &str| trace.step(name).instance.as_str();
    assert_ne!(instance("publish room:{id}"), instance("receive room:{id}"));
    assert_ne!(instance("submit message"), instance("deliver event"));
    assert_eq!(trace.step("deliver event").attributes["parlance.subscribers"], "1");

    let end_of = |name: &str| trace.step(name).end;
    assert!(checked.end <= stored.begin && stored.end <= end_of("store message"));
    assert!(stored.end <= trace.step("publish room:{id}").begin);
    assert!(trace.step("receive room:{id}").begin <= trace.step("deliver event").begin);
    assert!(written.begin <= end_of("deliver event") && written.begin < written.end);
}

#[tokio::test]
async fn a_message_is_followed_from_the_request_to_the_sockets_of_another_gateway() {
    let collector = Collector::start().await;
    let builder = observed(collector.address, "1").replicas(2).gateways(2).wiring(apart());
    on_stack_of(builder, async |stack| {
        let [anna, ben] = people(stack).await;
        let room = make_room(&anna, &[&ben]).await;
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
        let root = trace.step(root);
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
        let frame = || collector.steps().into_iter().find(|step| step.name == root);
        eventually(EXPORTED, root, async || frame().is_some()).await;
        let trace = Trace::complete(&collector, &frame().unwrap().trace_id, root).await;
        assert_followed(&trace, root);
        assert_eq!((trace.step(root).parent_id.as_str(), trace.step(root).kind), ("", SERVER));
    })
    .await;
}

#[tokio::test]
async fn messages_that_are_stored_and_written_together_each_have_their_steps() {
    const MESSAGES: usize = 100;
    let collector = Collector::start().await;
    on_stack_of(observed(collector.address, "1"), async |stack| {
        let anna = person(stack).await;
        let room = make_room(&anna, &[]).await;
        let mut socket = anna.subscribed(room).await;
        // All of them wait for messaging, which has to take them together then.
        stack.process("messaging", 0).pause().unwrap();
        for number in 0..MESSAGES {
            socket.send(&message_to(room, &number.to_string())).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        stack.process("messaging", 0).resume().unwrap();
        for _ in 0..MESSAGES {
            assert_eq!(socket.next().await["type"], "message");
        }
        let named = |name: &str| -> Vec<Step> {
            collector.steps().into_iter().filter(|step| step.name == name).collect()
        };
        let is_in_room = |step: &Step| step.attributes["parlance.room.id"] == room.to_string();
        let stored = || named("store message").into_iter().filter(is_in_room).collect::<Vec<_>>();
        let batch_of = |message: &Step, batches: &[Step]| {
            batches.iter().find(|batch| message.links == [batch.id.as_str()]).cloned()
        };
        let last = ["write to sockets", "websocket send_message"];
        // The two programs send what they have recorded at times of their own.
        eventually(EXPORTED, "all have come", async || {
            let (stored, batches) = (stored(), named("batch"));
            last.iter().all(|name| named(name).len() == MESSAGES)
                && stored.len() == MESSAGES
                && stored.iter().all(|message| batch_of(message, &batches).is_some())
        })
        .await;

        let batches = named("batch");
        assert!(batches.iter().any(|batch| batch.links.len() > 1), "nothing was stored together");
        for message in stored() {
            let batch = batch_of(&message, &batches).unwrap();
            assert!(batch.links.contains(&message.id));
            assert_eq!(
                batch.attributes["messaging.batch.message_count"],
                batch.links.len().to_string()
            );
        }
        let traces =
            |steps: Vec<Step>| steps.into_iter().map(|step| step.trace_id).collect::<BTreeSet<_>>();
        assert_eq!(traces(named(last[0])), traces(named(last[1])));
    })
    .await;
}

/// Asks for something, and says whether it is to be recorded.
async fn ask_sampled(person: &Person, sampled: bool) {
    let parent = format!(
        "00-{:032x}-b7ad6b7169203331-0{}",
        rand::random::<u128>().max(1),
        u8::from(sampled)
    );
    person.send(Request::get("/v1/rooms").header("traceparent", parent)).await.ok(200);
}

#[tokio::test]
async fn clients_have_few_traces_recorded_beside_those_that_are_chosen() {
    let collector = Collector::start().await;
    on_stack_of(observed(collector.address, "0"), async |stack| {
        let anna = person(stack).await;
        ask_sampled(&anna, false).await;
        let begin = Instant::now();
        for _ in 0..50 {
            ask_sampled(&anna, true).await;
        }
        let granted = begin.elapsed().as_secs() as usize + 2;
        let name = "GET /v1/rooms";
        let recorded = || collector.steps().iter().filter(|step| step.name == name).count();
        eventually(EXPORTED, "one is granted", async || recorded() > 0).await;
        // Whatever else there is comes when the processes end.
        stack.stop().await.unwrap();
        assert!((1..=granted).contains(&recorded()), "{} of at most {granted}", recorded());
    })
    .await;
}

/// How many steps a gateway has lost.
async fn lost(stack: &Stack) -> u64 {
    let metrics = stack.metrics("gateway", 0).await.unwrap();
    let line = metrics.lines().find(|line| line.starts_with("parlance_process_spans_lost_total"));
    line.expect("the metric is shown").rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// Sends messages over a socket and waits for the answer to each.
async fn send_many(person: &Person, room: i64, count: usize) {
    let mut socket = person.socket().await;
    for number in 0..count {
        let ack = socket.ask(&message_with_ref(room, "Hello", &number.to_string())).await;
        assert_eq!(ack["type"], "ack", "{ack}");
    }
}

#[tokio::test]
async fn messages_flow_while_the_collector_is_away_and_traces_when_it_is_back() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
    on_stack_of(observed(address, "1"), async |stack| {
        let anna = person(stack).await;
        let room = make_room(&anna, &[]).await;
        send_many(&anna, room, 50).await;
        eventually(EXPORTED, "steps are lost", async || lost(stack).await > 0).await;

        let collector = Collector::start_at(address).await;
        eventually(EXPORTED, "steps come", async || {
            send_many(&anna, room, 1).await;
            collector.steps().iter().any(|step| step.name == "store message")
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_collector_that_does_not_answer_holds_up_nobody() {
    let deaf = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    on_stack_of(observed(deaf.local_addr().unwrap(), "1"), async |stack| {
        let anna = person(stack).await;
        let room = make_room(&anna, &[]).await;
        eventually(Duration::from_secs(60), "more is recorded than is kept", async || {
            send_many(&anna, room, 200).await;
            lost(stack).await > 0
        })
        .await;
        let gateway = stack.process("gateway", 0);
        gateway.terminate().unwrap();
        assert!(gateway.wait(Duration::from_secs(15)).await.unwrap().success());
    })
    .await;
}
