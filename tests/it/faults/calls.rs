//! Calls while a part is away.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Person, RECOVERY, Socket, eventually};
use crate::ws::message_to;

/// The timeout of a call to a service, and a margin for a busy machine.
pub(super) const DEADLINE: Duration = Duration::from_secs(4);

/// Asserts that a call is answered 503 in time.
pub(super) async fn unavailable(call: impl Future<Output = Answer>) {
    let begin = Instant::now();
    let answer = call.await;
    assert!(begin.elapsed() < DEADLINE, "{:?}", begin.elapsed());
    let seconds: u64 =
        answer.header("retry-after").parse().unwrap_or_else(|_| panic!("{answer:?}"));
    assert!(seconds > 0);
    answer.refused(503, "unavailable");
}

/// Waits until a call succeeds again.
pub(super) async fn recovers(path: &str, person: &Person) {
    eventually(RECOVERY, path, async || person.get(path).await.status == 200).await;
}

/// Sends a message until it is acked. Until then the result is unknown.
pub(super) async fn send_until_acked(socket: &mut Socket, room: i64, content: &str) -> Value {
    let begin = Instant::now();
    let mut frame = message_to(room, content);
    frame["client_msg_id"] = json!(content);
    loop {
        let asked = Instant::now();
        socket.send(&frame).await;
        let answer = loop {
            let answer = socket.next().await;
            if answer["type"] == "ack" || answer["type"] == "error" {
                break answer;
            }
        };
        assert!(asked.elapsed() < DEADLINE, "{:?}", asked.elapsed());
        if answer["type"] == "ack" {
            return answer;
        }
        assert_eq!(answer["code"], "unavailable", "{answer}");
        assert!(begin.elapsed() < RECOVERY, "not acked in time: {content}");
    }
}

/// Registers a user, which needs auth.
pub(super) async fn register(person: &Person, name: &str) -> Answer {
    person
        .api
        .post("/v1/auth/register", &json!({"username": name, "password": "securepass123"}))
        .await
}

pub(super) fn history_path(room: i64) -> String {
    format!("/v1/messages/rooms/{room}/history")
}
