//! A list costs the same number of SQL statements and gRPC calls, however long it is.

use std::collections::BTreeMap;

use parlance_devstack::Stack;
use sqlx::PgConnection;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::support::{Person, become_contacts, person};

/// How often each request is repeated, so that background work does not change the average.
const REPETITIONS: i64 = 40;

/// A stack of its own for one test. The first gateway serves the preparations, the second one the
/// counted requests.
async fn quiet_stack() -> (&'static Stack, MutexGuard<'static, ()>) {
    static QUIET: OnceCell<Stack> = OnceCell::const_new();
    static TURN: Mutex<()> = Mutex::const_new(());

    let turn = TURN.lock().await;
    let start = async || {
        // The synthetic probe makes calls and statements of its own.
        Stack::builder()
            .gateways(2)
            .environment("gateway", "PROBE_INTERVAL", "3600")
            .start()
            .await
            .unwrap()
    };
    (QUIET.get_or_init(start).await, turn)
}

/// The cost of one request.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    /// The number of executions by statement, transaction control included.
    statements: BTreeMap<String, i64>,
    /// The number of gRPC calls by method.
    calls: BTreeMap<String, i64>,
}

impl Cost {
    fn statements(&self) -> i64 {
        self.statements.values().sum()
    }

    fn calls(&self) -> i64 {
        self.calls.values().sum()
    }
}

async fn connection(stack: &Stack) -> PgConnection {
    stack.postgres().connect("parlance").await.unwrap()
}

async fn statements(stack: &Stack) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT query, sum(calls)::BIGINT FROM pg_stat_statements GROUP BY query")
            .fetch_all(&mut connection(stack).await)
            .await
            .unwrap();
    rows.into_iter().collect()
}

/// The number of calls that each gRPC method has answered.
async fn calls(stack: &Stack) -> BTreeMap<String, i64> {
    let mut calls = BTreeMap::new();
    for service in ["auth", "contacts", "rooms", "messaging"] {
        let metrics = stack.metrics(service, 0).await.unwrap();
        for line in metrics
            .lines()
            .filter(|line| line.starts_with("rpc_server_call_duration_seconds_count"))
        {
            let (labels, count) = line.rsplit_once(' ').unwrap();
            let method = labels.split("rpc_method=\"").nth(1).unwrap().split('"').next().unwrap();
            *calls.entry(method.to_owned()).or_default() += count.parse::<f64>().unwrap() as i64;
        }
    }
    calls
}

fn difference(
    before: &BTreeMap<String, i64>,
    after: &BTreeMap<String, i64>,
    divisor: i64,
) -> BTreeMap<String, i64> {
    let grown = |(key, count): (&String, &i64)| {
        let grown = (count - before.get(key).copied().unwrap_or_default()) / divisor;
        (grown > 0).then(|| (key.clone(), grown))
    };
    after.iter().filter_map(grown).collect()
}

/// The cost of one of many equal requests, once the gateway has cached the users in it.
async fn cost(stack: &Stack, person: &Person, path: &str, expected_bytes: usize) -> Cost {
    let person = person.at(stack, 1);
    assert!(person.get(path).await.text.len() > expected_bytes);
    let before = (statements(stack).await, calls(stack).await);
    for _ in 0..REPETITIONS {
        person.get(path).await.ok(200);
    }
    let after = (statements(stack).await, calls(stack).await);
    Cost {
        statements: difference(&before.0, &after.0, REPETITIONS),
        calls: difference(&before.1, &after.1, REPETITIONS),
    }
}

/// The gRPC calls of the first request at a gateway without cached users.
async fn calls_of_first_request(stack: &Stack, person: &Person, path: &str) -> i64 {
    let before = calls(stack).await;
    person.at(stack, 1).get(path).await.ok(200);
    difference(&before, &calls(stack).await, 1).values().sum()
}

/// Inserts users with one statement. Returns their ids.
async fn make_users(connection: &mut PgConnection, prefix: &str, count: i64) -> Vec<i64> {
    sqlx::query_scalar(
        "INSERT INTO auth.users (username, folded_username, password_hash, created_at, updated_at)
         SELECT $1 || n, $1 || n, 'none', now(), now()
         FROM generate_series(1, $2) AS n RETURNING id",
    )
    .bind(prefix)
    .bind(count)
    .fetch_all(connection)
    .await
    .unwrap()
}

/// Inserts rooms with these members with one statement.
async fn make_rooms(connection: &mut PgConnection, owner: &Person, rooms: i64, members: &[i64]) {
    sqlx::query(
        "WITH made AS (
             INSERT INTO rooms.rooms (is_system, name, owner_id, created_at, updated_at)
             SELECT false, 'Room ' || n, $1, now(), now()
             FROM generate_series(1, $2) AS n RETURNING id
         )
         INSERT INTO rooms.members (room_id, user_id, joined_at)
         SELECT made.id, member, now() FROM made CROSS JOIN unnest($3 || $1) AS member",
    )
    .bind(owner.id)
    .bind(rooms)
    .bind(members)
    .execute(connection)
    .await
    .unwrap();
}

async fn make_contacts(connection: &mut PgConnection, person: &Person, others: &[i64]) {
    sqlx::query(
        "INSERT INTO contacts.pairs (low_id, high_id, state, inviter_id, invited_at, contacts_since)
         SELECT least($1, other), greatest($1, other), 'contacts', $1, now(), now()
         FROM unnest($2) AS other",
    )
    .bind(person.id)
    .bind(others)
    .execute(connection)
    .await
    .unwrap();
}

#[tokio::test]
async fn fifty_rooms_of_twenty_cost_as_much_as_three_of_three() {
    let (stack, _turn) = quiet_stack().await;
    let mut connection = connection(stack).await;
    let (small, large) = (person(stack).await, person(stack).await);
    let few = make_users(&mut connection, "few", 2).await;
    make_rooms(&mut connection, &small, 3, &few).await;
    let many = make_users(&mut connection, "many", 19).await;
    make_rooms(&mut connection, &large, 50, &many).await;

    assert!(calls_of_first_request(stack, &large, "/v1/rooms").await <= 2);
    let cost_of_large = cost(stack, &large, "/v1/rooms", 100_000).await;
    assert_eq!(cost(stack, &small, "/v1/rooms", 1_000).await, cost_of_large);
    assert!((1..=3).contains(&cost_of_large.statements()), "{cost_of_large:?}");
    assert_eq!(cost_of_large.calls(), 1, "{cost_of_large:?}");
}

#[tokio::test]
async fn two_hundred_contacts_cost_as_much_as_three() {
    let (stack, _turn) = quiet_stack().await;
    let mut connection = connection(stack).await;
    let (small, large) = (person(stack).await, person(stack).await);
    let few = make_users(&mut connection, "three", 3).await;
    make_contacts(&mut connection, &small, &few).await;
    let many = make_users(&mut connection, "hundreds", 200).await;
    make_contacts(&mut connection, &large, &many).await;

    assert!(calls_of_first_request(stack, &large, "/v1/contacts").await <= 2);
    let cost_of_large = cost(stack, &large, "/v1/contacts", 30_000).await;
    assert_eq!(cost(stack, &small, "/v1/contacts", 500).await, cost_of_large);
    assert!((1..=3).contains(&cost_of_large.statements()), "{cost_of_large:?}");
    assert_eq!(cost_of_large.calls(), 1, "{cost_of_large:?}");
}

#[tokio::test]
async fn a_full_page_of_history_costs_as_much_as_a_short_one() {
    let (stack, _turn) = quiet_stack().await;
    let (small, large) = (person(stack).await, person(stack).await);
    let (short, long) = (
        become_contacts(&small, &large).await,
        become_contacts(&large, &person(stack).await).await,
    );
    for _ in 0..3 {
        small.send_message(short, "x").await;
    }
    for _ in 0..100 {
        large.send_message(long, "x").await;
    }
    // The newest page, which is cached, and an older one, which is not.
    for from in ["", &format!("&before_id={}", i64::MAX)] {
        let (short, long) = (
            format!("/v1/messages/rooms/{short}/history?limit=50{from}"),
            format!("/v1/messages/rooms/{long}/history?limit=100{from}"),
        );
        assert!(calls_of_first_request(stack, &large, &long).await <= 3);
        let cost_of_long = cost(stack, &large, &long, 20_000).await;
        assert_eq!(cost(stack, &small, &short, 500).await, cost_of_long);
        assert!((1..=3).contains(&cost_of_long.statements()), "{cost_of_long:?}");
        assert_eq!(cost_of_long.calls(), 2, "{cost_of_long:?}");
    }
}
