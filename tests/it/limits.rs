//! Limits for one client, and that ordinary clients never reach them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parlance_client::Message;
use parlance_client::Request;
use parlance_devstack::Stack;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use crate::support::{
    Answer, Api, Ended, PASSWORD, Person, Socket, eventually, fresh_name, make_room, person, stack,
};
use crate::ws::{assert_error, message_with_ref, whole_history};

const MAX_CONNECTIONS: usize = 3;
const MAX_SOCKETS: usize = 5;
const MAX_UNAUTHENTICATED: usize = 2;
const BURST: usize = 30;
const FRAMES_PER_SECOND: usize = 10;
const LOG_INS_BURST: usize = 60;
/// The longest time until the gateway notices that a connection has ended.
const SOON: Duration = Duration::from_secs(10);

/// A stack with low limits. Its gateway trusts `X-Forwarded-For` from the tests, so that each test
/// has addresses of its own.
async fn stack_with_low_limits() -> &'static Stack {
    static FRUGAL: OnceCell<Stack> = OnceCell::const_new();
    FRUGAL
        .get_or_init(async || {
            let settings = [
                ("TRUSTED_PROXIES", "127.0.0.0/8".to_owned()),
                ("MAX_CONNECTIONS_PER_USER", MAX_CONNECTIONS.to_string()),
                ("MAX_SOCKETS_PER_ADDRESS", MAX_SOCKETS.to_string()),
                ("MAX_UNAUTHENTICATED_SOCKETS_PER_ADDRESS", MAX_UNAUTHENTICATED.to_string()),
                ("MAX_ROOMS_PER_CONNECTION", "2".to_owned()),
                ("MAX_FRAMES_PER_SECOND", FRAMES_PER_SECOND.to_string()),
                ("FRAMES_BURST", BURST.to_string()),
                ("LOG_INS_PER_MINUTE", "60".to_owned()),
                ("LOG_INS_BURST", LOG_INS_BURST.to_string()),
            ];
            let set = |stack: parlance_devstack::StackBuilder,
                       (name, value): (&'static str, String)| {
                stack.environment("gateway", name, &value)
            };
            settings
                .into_iter()
                .fold(Stack::builder(), set)
                .start()
                .await
                .expect("the stack starts")
        })
        .await
}

/// Opens a WebSocket from an address, with a token or without. Returns the status if it is refused.
async fn open(stack: &Stack, address: &str, person: Option<&Person>) -> Result<Socket, u16> {
    let mut headers = vec![("x-forwarded-for", address.to_owned())];
    headers.extend(person.map(|person| ("authorization", format!("Bearer {}", person.token))));
    Socket::connect(stack.address("gateway", 0), headers).await
}

/// Opens a WebSocket from an address and reads its first frame.
async fn open_authenticated(stack: &Stack, address: &str, person: &Person) -> Socket {
    let mut socket = open(stack, address, Some(person)).await.expect("there is a place");
    assert_eq!(socket.next().await["user_id"], person.id);
    socket
}

#[track_caller]
fn assert_rate_limited(frame: &Value, reference: Option<&str>) {
    assert_error(frame, "rate_limited", reference);
    assert_eq!(frame["retry_after"], 1, "{frame}");
}

#[track_caller]
fn assert_retry_after(answer: Answer) {
    assert_eq!(answer.header("retry-after"), "1", "{answer:?}");
    answer.refused(429, "rate_limited");
}

#[tokio::test]
async fn connections_per_user_are_limited() {
    let stack = stack_with_low_limits().await;
    let (anna, ben) = (person(stack).await, person(stack).await);
    let mut sockets = Vec::new();
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        sockets.push(open_authenticated(stack, address, &anna).await);
    }
    assert_eq!(open(stack, "192.0.2.4", Some(&anna)).await.err(), Some(429));
    let mut anonymous = open(stack, "192.0.2.4", None).await.unwrap();
    let refused = anonymous.ask(&json!({"type": "auth", "token": anna.token, "ref": "a"})).await;
    assert_rate_limited(&refused, Some("a"));
    assert_eq!(anonymous.closed().await, Ended(Some(1013)));
    open_authenticated(stack, "192.0.2.4", &ben).await;

    sockets.pop().unwrap().drop_connection();
    eventually(SOON, "a place is free", async || {
        open(stack, "192.0.2.4", Some(&anna)).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn connections_per_address_are_limited() {
    let stack = stack_with_low_limits().await;
    let (anna, ben) = (person(stack).await, person(stack).await);
    let mut sockets = Vec::new();
    for person in [&anna, &anna, &anna, &ben, &ben] {
        sockets.push(open_authenticated(stack, "192.0.2.10", person).await);
    }
    assert_eq!(sockets.len(), MAX_SOCKETS);
    assert_eq!(open(stack, "192.0.2.10", Some(&ben)).await.err(), Some(429));
    let upgrade = Request::get("/v1/messages/ws").header("x-forwarded-for", "192.0.2.10");
    assert_retry_after(ben.send(upgrade).await);
    open_authenticated(stack, "192.0.2.11", &ben).await;

    drop(sockets.pop());
    eventually(SOON, "a place is free", async || {
        open(stack, "192.0.2.10", Some(&ben)).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn unauthenticated_connections_are_limited() {
    let stack = stack_with_low_limits().await;
    let anna = person(stack).await;
    let mut known = open(stack, "192.0.2.20", None).await.unwrap();
    let _unknown = open(stack, "192.0.2.20", None).await.unwrap();
    assert_eq!(open(stack, "192.0.2.20", None).await.err(), Some(429));
    open_authenticated(stack, "192.0.2.20", &anna).await;

    known.ask(&json!({"type": "auth", "token": anna.token})).await;
    eventually(SOON, "a place is free", async || open(stack, "192.0.2.20", None).await.is_ok())
        .await;
}

#[tokio::test]
async fn subscriptions_per_connection_are_limited() {
    let stack = stack_with_low_limits().await;
    let anna = person(stack).await;
    let (first, second, third) =
        (make_room(&anna, &[]).await, make_room(&anna, &[]).await, make_room(&anna, &[]).await);
    let mut socket = open_authenticated(stack, "192.0.2.30", &anna).await;
    socket.subscribe(first).await;
    socket.subscribe(second).await;
    let refused = socket.ask(&json!({"type": "subscribe", "room_id": third, "ref": "3"})).await;
    assert_rate_limited(&refused, Some("3"));
    socket.subscribe(first).await;

    socket.ask(&json!({"type": "unsubscribe", "room_id": first})).await;
    socket.subscribe(third).await;
}

#[tokio::test]
async fn a_deleted_room_frees_its_subscription() {
    let stack = stack_with_low_limits().await;
    let anna = person(stack).await;
    let (first, second, third) =
        (make_room(&anna, &[]).await, make_room(&anna, &[]).await, make_room(&anna, &[]).await);
    let mut socket = open_authenticated(stack, "192.0.2.40", &anna).await;
    socket.subscribe(first).await;
    socket.subscribe(second).await;
    anna.delete(&format!("/v1/rooms/{first}")).await.ok(204);
    assert_eq!(socket.next().await["type"], "unsubscribed");
    socket.subscribe(third).await;
}

#[tokio::test]
async fn too_many_frames_are_refused_in_order() {
    let stack = stack_with_low_limits().await;
    let anna = person(stack).await;
    let room = make_room(&anna, &[]).await;
    let mut socket = open_authenticated(stack, "192.0.2.50", &anna).await;
    let begin = Instant::now();
    let count = 3 * BURST;
    for index in 0..count {
        socket.send(&message_with_ref(room, &index.to_string(), &index.to_string())).await;
    }
    let mut acked = Vec::new();
    for index in 0..count {
        let answer = socket.next().await;
        assert_eq!(answer["ref"], index.to_string(), "{answer}");
        if answer["type"] == "ack" {
            acked.push(index.to_string());
        } else {
            assert_rate_limited(&answer, Some(&index.to_string()));
        }
    }
    let regained = begin.elapsed().as_secs_f64() * FRAMES_PER_SECOND as f64;
    assert!(acked.len() >= BURST && acked.len() < count, "{}", acked.len());
    assert!(acked.len() as f64 <= BURST as f64 + regained + 1.0, "{} {regained}", acked.len());
    let stored = whole_history(&anna, room).await;
    let stored: Vec<&str> =
        stored.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(stored, acked);

    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        socket.ask(&json!({"type": "ping"})).await["type"],
        "pong",
        "a second later there is space"
    );
}

#[tokio::test]
async fn logins_per_address_are_limited() {
    let stack = stack_with_low_limits().await;
    let api = Api::at(stack, 0);
    let log_in = async |address: &str| {
        // Each with a name of its own: failures of one account make it wait.
        let credentials = json!({"username": fresh_name(), "password": PASSWORD});
        let request = Request::post("/v1/auth/login", &credentials);
        api.send(request.header("x-forwarded-for", address)).await
    };
    let begin = Instant::now();
    let mut admitted = 0;
    let refused = loop {
        let answer = log_in("192.0.2.60").await;
        if answer.status != 401 {
            break answer;
        }
        admitted += 1;
    };
    assert_retry_after(refused);
    let regained = begin.elapsed().as_secs_f64();
    assert!(admitted >= LOG_INS_BURST && admitted as f64 <= LOG_INS_BURST as f64 + regained + 1.0);
    log_in("192.0.2.61").await.refused(401, "invalid_credentials");
}

#[tokio::test]
async fn the_default_limits_do_not_slow_a_fast_sender() {
    let anna = person(stack().await).await;
    let room = make_room(&anna, &[]).await;
    let mut socket = anna.socket().await;
    for index in 0..2_000 {
        socket.send(&message_with_ref(room, "x", &index.to_string())).await;
    }
    for index in 0..2_000 {
        let answer = socket.next().await;
        assert_eq!(
            (&answer["type"], &answer["ref"]),
            (&json!("ack"), &json!(index.to_string())),
            "{answer}"
        );
    }
}

/// Sends `sent` at once and then `more` at one byte a second. Returns the bytes that the gateway
/// sent until it closed the connection, and the time until then.
async fn trickle(stack: &Stack, sent: &str, more: &str) -> (String, Duration) {
    let mut stream = TcpStream::connect(stack.address("gateway", 0)).await.unwrap();
    let begin = Instant::now();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    let read = reading.read_to_end(&mut answer);
    let write = async {
        for byte in more.bytes() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // The gateway may have closed the connection already.
            let _ = writing.write_all(&[byte]).await;
        }
        std::future::pending().await
    };
    tokio::select! {
        // A reset connection has ended, too.
        _ = tokio::time::timeout(Duration::from_secs(30), read) => {}
        () = write => {}
    }
    (String::from_utf8_lossy(&answer).into_owned(), begin.elapsed())
}

#[tokio::test]
async fn half_sent_requests_end_after_ten_seconds() {
    let stack = stack().await;
    let more = "x".repeat(60);
    let head =
        "POST /v1/auth/login HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n";
    let sized = format!("{head}content-length: 100\r\n\r\n{{");
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n1000\r\n");
    let upgrade = "GET /v1/messages/ws HTTP/1.1\r\nhost: gateway\r\nupgrade: websocket\r\n";
    let halves = [
        ("", ""),
        (head, ""),
        (head, &more),
        (upgrade, &more),
        (&sized, ""),
        (&sized, &more),
        (&chunked, &more),
    ];
    let ended = join_all(halves.map(|(sent, more)| trickle(stack, sent, more))).await;
    for ((sent, _), (answer, after)) in halves.iter().zip(ended) {
        assert!((9.0..14.0).contains(&after.as_secs_f64()), "{after:?}: {sent}");
        if sent.contains("\r\n\r\n") {
            assert!(
                answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"),
                "{answer}"
            );
        }
    }
}

#[tokio::test]
async fn an_unauthenticated_connection_that_pings_ends_after_ten_seconds() {
    let mut socket = Api::at(stack().await, 0).socket().await;
    let begin = Instant::now();
    let end = loop {
        let sent = socket.send_if_open(Message::Ping("there".into())).await;
        if let Ok(end) = tokio::time::timeout(Duration::from_millis(500), socket.closed()).await {
            break end;
        }
        assert!(sent, "no close frame came");
    };
    assert_eq!(end, Ended(Some(4408)));
    assert!((9.0..14.0).contains(&begin.elapsed().as_secs_f64()), "{:?}", begin.elapsed());
}
