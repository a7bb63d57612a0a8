//! A backup that is taken while users chat, and its restore after the loss of the database.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use parlance_devstack::Stack;
use serde_json::{Value, json};
use sqlx::{Connection, Executor};
use tokio::process::Command;

use crate::support::{
    Person, RECOVERY, RESTART, Socket, eventually, make_room, on_own_stack, people, person,
};
use crate::ws::whole_history;

/// Callees before callers.
const PARTS: [&str; 5] = ["auth", "rooms", "contacts", "messaging", "gateway"];

/// Runs an operator's script on the stack's database. Returns its output.
async fn script(name: &str, stack: &Stack, file: &Path) -> String {
    let url = stack.database_url();
    let (login, place) = url.trim_start_matches("postgres://").split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let (address, database) = place.split('?').next().unwrap().split_once('/').unwrap();
    let (host, port) = address.split_once(':').unwrap();
    let mut command = Command::new(format!("{}/../scripts/{name}", env!("CARGO_MANIFEST_DIR")));
    command.arg(file).env("PGHOST", host).env("PGPORT", port).env("PGDATABASE", database);
    command.env("PGUSER", user).env("PGPASSWORD", password).kill_on_drop(true);
    let output = command.output().await.expect("the script starts");
    assert!(output.status.success(), "{name}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Takes a backup while two users send messages. Returns all acknowledged messages, and how many of
/// them were acknowledged before the backup began.
async fn back_up_under_load(
    stack: &Stack,
    file: &Path,
    two: [&Person; 2],
    room: i64,
) -> (Vec<Value>, usize) {
    let acked = Mutex::new(Vec::new());
    let count = || acked.lock().unwrap().len();
    let is_over = AtomicBool::new(false);
    let talk = async |person: &Person| {
        while !is_over.load(Ordering::Relaxed) {
            let message =
                person.send_message(room, &format!("{} of {}", count(), person.name)).await;
            acked.lock().unwrap().push(message);
        }
    };
    let back_up = async {
        eventually(RECOVERY, "people talk", async || count() >= 100).await;
        let before = count();
        script("backup", stack, file).await;
        let so_far = count();
        eventually(RECOVERY, "users keep sending", async || count() >= so_far + 20).await;
        is_over.store(true, Ordering::Relaxed);
        before
    };
    let (before, ..) = tokio::join!(back_up, talk(two[0]), talk(two[1]));
    (acked.into_inner().unwrap(), before)
}

/// Empties the stack's database except for the roles, restores the backup and restarts Parlance.
async fn restore(stack: &Stack, file: &Path) {
    for part in PARTS {
        stack.process(part, 0).kill().await.unwrap();
    }
    let mut database = stack.postgres().connect("parlance").await.unwrap();
    database.execute("DROP SCHEMA auth, contacts, rooms, messaging CASCADE").await.unwrap();
    database.close().await.unwrap();
    script("restore", stack, file).await;
    for part in PARTS {
        stack.process(part, 0).restart(RESTART).await.unwrap();
    }
}

fn number(message: &Value, name: &str) -> i64 {
    message[name].as_i64().unwrap_or_else(|| panic!("no {name}: {message}"))
}

/// Asserts that the history is a beginning of the sent messages and has at least those that were
/// acknowledged before the backup began.
fn assert_is_beginning(history: &[Value], mut acked: Vec<Value>, before: usize) {
    let last_before = acked[..before].iter().map(|message| number(message, "seq")).max().unwrap();
    acked.sort_by_key(|message| number(message, "seq"));
    assert!(history.len() < acked.len(), "nothing was said after the backup");
    assert!(history.len() as i64 >= last_before, "{} of {last_before}", history.len());
    for (restored, acked) in history.iter().zip(&acked) {
        for name in ["id", "seq", "content", "sender", "created_at"] {
            assert_eq!(restored[name], acked[name], "{restored} was {acked}");
        }
    }
}

/// Reconnects a client that has seen the room up to `after_seq`. Returns its WebSocket and the
/// answer to its subscription.
async fn come_back(person: &Person, room: i64, after_seq: i64) -> (Socket, Value) {
    let mut socket = person.socket().await;
    let frame = json!({"type": "subscribe", "room_id": room, "after_seq": after_seq});
    let answer = socket.ask(&frame).await;
    (socket, answer)
}

#[tokio::test]
async fn a_restored_backup_has_all_messages_acked_before_it_began() {
    on_own_stack(Stack::builder(), async |fresh| {
        let file = fresh.folder().join("parlance.backup");
        let old = Stack::builder().start().await.unwrap();
        let [anna, ben] = people(&old).await;
        let room = make_room(&anna, &[&ben]).await;
        let quiet = make_room(&anna, &[]).await;
        let (acked, before) = back_up_under_load(&old, &file, [&anna, &ben], room).await;
        let lost = person(&old).await;
        let lost_room = make_room(&lost, &[]).await;
        for _ in 0..3 {
            anna.send_message(quiet, "Lost").await;
        }
        drop(old);

        restore(fresh, &file).await;
        let [anna, ben, lost] = [anna, ben, lost].map(|person| person.at(fresh, 0));
        assert_eq!(number(&anna.get("/v1/auth/me").await.ok(200), "id"), anna.id, "tokens hold");
        let history = whole_history(&anna, room).await;
        assert_is_beginning(&history, acked.clone(), before);
        let drill = script("drill", fresh, &file).await;
        let counted = drill.split("messages ").nth(1).and_then(|rest| rest.split('\n').next());
        let counted: usize = counted.unwrap().parse().unwrap();
        // The probes of the gateway are messages, too.
        assert!(counted > history.len(), "{drill}");

        // Clients that have seen more than the backup has must reload, whether they reconnect
        // before or after the room has as many messages again.
        let highest = |name| acked.iter().map(|message| number(message, name)).max().unwrap();
        for (room, seen) in [(room, highest("seq")), (quiet, 3)] {
            let (mut socket, answer) = come_back(&anna, room, seen).await;
            assert_eq!(answer["resync"], true, "{answer}");
            for _ in 0..5 {
                let message = anna.send_message(room, "After").await;
                assert!(
                    number(&message, "seq") > seen && number(&message, "id") > highest("id"),
                    "{message}"
                );
                assert_eq!(socket.next().await["message"], message);
            }
            assert_eq!(come_back(&anna, room, seen).await.1["resync"], true);
        }
        assert_eq!(whole_history(&ben, room).await.len(), history.len() + 5);

        // A lost user's rooms and messages are not given to a new user.
        let carla = person(fresh).await;
        assert!(carla.id > lost.id && make_room(&carla, &[]).await > lost_room);
        lost.get("/v1/auth/me").await.refused(401, "invalid_token");
    })
    .await;
}
