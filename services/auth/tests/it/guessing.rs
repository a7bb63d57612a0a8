//! Failed log-ins: how they are counted, and who waits for them.
//!
//! Waits run by the clock of the database. The tests move the stored times instead of it.

use parlance_core::ErrorCode;
use parlance_core::ErrorCode::{InvalidCredentials, RateLimited};
use parlance_proto::auth::{LogInRequest, LogInResponse, Tokens};
use parlance_runtime::error::{code_from_status, retry_after_from_status};
use tokio::task::JoinSet;
use tonic::{Response, Status};

use crate::app::{Auth, PASSWORD, client, eventually, refusal, registration};
use crate::statements;

const HOME: &str = "192.0.2.1";
const AWAY: &str = "192.0.2.2";
const ATTACKER: &str = "198.51.100.1";

async fn fail(auth: &Auth, username: &str, address: &str) {
    let refusal = refusal(auth.log_in_from(username, "wrong password", address).await);
    assert_eq!(refusal, InvalidCredentials, "{username} {address}");
}

/// Makes failures as old as this.
async fn age(auth: &Auth, interval: &'static str) {
    auth.run(format!(
        "UPDATE auth.log_in_failures SET last_failed_at = clock_timestamp() - INTERVAL '{interval}'"
    ))
    .await;
}

/// Lets an address fail as often as this, without waits.
async fn fail_often(auth: &Auth, username: &str, address: &str, times: usize) {
    for _ in 0..times {
        fail(auth, username, address).await;
        age(auth, "61 s").await;
    }
    // A failure in the future is one of this moment.
    age(auth, "-30 s").await;
}

/// The code of a refused try, and the seconds after which to retry.
fn wait(result: Result<Tokens, Status>) -> (ErrorCode, Option<u64>) {
    let status = result.unwrap_err();
    (code_from_status(&status), retry_after_from_status(&status).map(|after| after.as_secs()))
}

async fn register_from(auth: &Auth, username: &str, address: &str) {
    auth.grpc().register(registration(username, address)).await.unwrap();
}

#[tokio::test]
async fn waits_and_answers_are_the_same_whether_the_user_exists_or_not() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    auth.register("inactive").await;
    auth.register("passwordless").await;
    auth.execute("UPDATE auth.users SET is_active = FALSE WHERE username = 'inactive'").await;
    auth.execute("UPDATE auth.users SET password_hash = NULL WHERE username = 'passwordless'")
        .await;
    for username in ["anna", "nobody", "inactive", "passwordless", "no name", ""] {
        for _ in 0..4 {
            fail(&auth, username, ATTACKER).await;
        }
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            fail(&auth, username, ATTACKER).await;
            age(&auth, "-30 s").await;
            let waiting = auth.log_in_from(username, PASSWORD, ATTACKER).await;
            assert_eq!(wait(waiting), (RateLimited, Some(expected)), "{username}");
            age(&auth, "61 s").await;
        }
    }
}

#[tokio::test]
async fn every_failure_takes_one_statement_before_the_hash_and_one_after_it() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    auth.register("inactive").await;
    auth.execute("UPDATE auth.users SET is_active = FALSE WHERE username = 'inactive'").await;
    for username in ["anna", "nobody", "inactive", "no name"] {
        let failure = fail(&auth, username, ATTACKER);
        let (_, statements) = statements::count(&format!("failure of {username}"), failure).await;
        assert_eq!(statements, 2, "{username}");
    }
}

#[tokio::test]
async fn the_wait_is_rounded_up_to_whole_seconds() {
    let auth = Auth::start().await;
    fail_often(&auth, "anna", ATTACKER, 8).await;
    age(&auth, "4.2 s").await;
    // Of 8 s some 3.8 are left.
    assert_eq!(wait(auth.log_in_from("anna", PASSWORD, ATTACKER).await).1, Some(4));
}

#[tokio::test]
async fn tries_refused_for_a_wait_are_not_counted() {
    let auth = Auth::start().await;
    fail_often(&auth, "anna", ATTACKER, 5).await;
    for _ in 0..10 {
        let waiting = auth.log_in_from("anna", PASSWORD, ATTACKER).await;
        assert_eq!(refusal(waiting), RateLimited);
    }
    let failures = "SELECT sum(failures) FROM auth.log_in_failures";
    assert_eq!(auth.count(failures).await, 10);
}

/// A hash of the highest cost takes hours, so a try that is hashed gets no answer.
#[tokio::test]
async fn tries_refused_for_a_wait_are_not_hashed() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    for username in ["anna", "nobody"] {
        fail_often(&auth, username, ATTACKER, 5).await;
    }
    auth.execute("UPDATE auth.users SET password_hash = '$2b$31$' || substr(password_hash, 8)")
        .await;
    for username in ["anna", "nobody"] {
        let waiting = auth.log_in_from(username, PASSWORD, ATTACKER).await;
        assert_eq!(refusal(waiting), RateLimited, "{username}");
    }
}

#[tokio::test]
async fn a_right_password_clears_the_account_and_its_own_address_only() {
    let auth = Auth::start().await;
    register_from(&auth, "anna", HOME).await;
    fail(&auth, "anna", HOME).await;
    fail_often(&auth, "anna", ATTACKER, 5).await;
    assert_eq!(refusal(auth.log_in_from("anna", PASSWORD, AWAY).await), RateLimited);

    auth.log_in_from("ANNA", PASSWORD, HOME).await.unwrap();
    assert_eq!(refusal(auth.log_in_from("anna", PASSWORD, ATTACKER).await), RateLimited);
    auth.log_in_from("anna", PASSWORD, AWAY).await.unwrap();
    let home = "SELECT count(*) FROM auth.log_in_failures WHERE network = '192.0.2.1'";
    assert_eq!(auth.count(home).await, 0);
}

#[tokio::test]
async fn an_address_that_the_account_knows_waits_for_failures_from_itself_only() {
    let auth = Auth::start().await;
    register_from(&auth, "anna", HOME).await;
    auth.log_in_from("anna", PASSWORD, AWAY).await.unwrap();
    for known in [HOME, AWAY] {
        fail_often(&auth, "anna", ATTACKER, 6).await;
        auth.log_in_from("anna", PASSWORD, known).await.unwrap();
        fail_often(&auth, "anna", known, 5).await;
        assert_eq!(refusal(auth.log_in_from("anna", PASSWORD, known).await), RateLimited);
        auth.execute("TRUNCATE auth.log_in_failures").await;
    }
}

#[tokio::test]
async fn after_30_days_an_address_is_unknown() {
    let auth = Auth::start().await;
    register_from(&auth, "anna", HOME).await;
    fail_often(&auth, "anna", ATTACKER, 5).await;
    let set_age = async |days: u32| {
        auth.run(format!(
            "UPDATE auth.known_networks SET last_used_at = now() - INTERVAL '{days} days'"
        ))
        .await;
    };
    set_age(31).await;
    assert_eq!(refusal(auth.log_in_from("anna", PASSWORD, HOME).await), RateLimited);
    set_age(29).await;
    auth.log_in_from("anna", PASSWORD, HOME).await.unwrap();
    let renewed = "SELECT count(*) FROM auth.known_networks
        WHERE last_used_at > now() - INTERVAL '1 day'";
    assert_eq!(auth.count(renewed).await, 1);
}

#[tokio::test]
async fn an_address_is_known_to_its_own_accounts_only() {
    let auth = Auth::start().await;
    register_from(&auth, "anna", HOME).await;
    register_from(&auth, "berta", ATTACKER).await;
    fail_often(&auth, "anna", ATTACKER, 5).await;
    fail_often(&auth, "berta", HOME, 5).await;
    assert_eq!(refusal(auth.log_in_from("berta", PASSWORD, HOME).await), RateLimited);
    assert_eq!(refusal(auth.log_in_from("anna", PASSWORD, ATTACKER).await), RateLimited);
    auth.log_in_from("anna", PASSWORD, HOME).await.unwrap();
}

#[tokio::test]
async fn a_network_of_64_bits_is_one_address() {
    let auth = Auth::start().await;
    register_from(&auth, "anna", "2001:db8::1").await;
    fail_often(&auth, "anna", ATTACKER, 5).await;
    auth.log_in_from("anna", PASSWORD, "2001:db8::2").await.unwrap();
    for last in 1..=5 {
        fail(&auth, "anna", &format!("2001:db8::{last}")).await;
    }
    let waiting = auth.log_in_from("anna", PASSWORD, "2001:db8::6").await;
    assert_eq!(refusal(waiting), RateLimited);
}

#[tokio::test]
async fn an_hour_without_a_failure_forgets_those_before() {
    let auth = Auth::start().await;
    fail_often(&auth, "anna", ATTACKER, 9).await;
    age(&auth, "3601 s").await;
    for _ in 0..5 {
        fail(&auth, "anna", ATTACKER).await;
    }
    assert_eq!(refusal(auth.log_in_from("anna", PASSWORD, ATTACKER).await), RateLimited);
}

/// Tries to log in at the same time, at both replicas.
async fn all_at_once(replicas: [&Auth; 2], tries: usize) -> Vec<ErrorCode> {
    let start = |number: usize| {
        let mut grpc = replicas[number % 2].grpc();
        let request = LogInRequest {
            username: "anna".into(),
            password: "wrong password".into(),
            client: client(&format!("198.51.100.{}", number % 10)),
            refresh: false,
        };
        async move { grpc.log_in(request).await }
    };
    let tries: JoinSet<Result<Response<LogInResponse>, Status>> = (0..tries).map(start).collect();
    tries.join_all().await.into_iter().map(refusal).collect()
}

fn hashed(refusals: &[ErrorCode]) -> usize {
    let refused = refusals.iter().filter(|&&refusal| refusal == RateLimited).count();
    let failed = refusals.iter().filter(|&&refusal| refusal == InvalidCredentials).count();
    assert_eq!(refused + failed, refusals.len(), "{refusals:?}");
    failed
}

#[tokio::test]
async fn parallel_failures_at_all_replicas_are_counted_once_each() {
    let first = Auth::start().await;
    let second = Auth::start_on(&first.database_url, first.clock.clone(), &[]).await;
    let failed = hashed(&all_at_once([&first, &second], 60).await);
    // Five tries at each replica may be in progress when the fifth fails.
    assert!((5..=4 + 10).contains(&failed), "{failed}");
    let counted = "SELECT failures::BIGINT FROM auth.log_in_failures WHERE network = ''";
    assert_eq!(first.count(counted).await, failed as i64);
    let of_networks = "SELECT sum(failures) FROM auth.log_in_failures WHERE network <> ''";
    assert_eq!(first.count(of_networks).await, failed as i64);
}

#[tokio::test]
async fn of_many_tries_that_are_due_at_once_one_is_hashed() {
    let first = Auth::start().await;
    let second = Auth::start_on(&first.database_url, first.clock.clone(), &[]).await;
    fail_often(&first, "anna", ATTACKER, 8).await;
    age(&first, "8 s").await;
    assert_eq!(hashed(&all_at_once([&first, &second], 40).await), 1);
}

#[tokio::test]
async fn an_account_knows_the_20_addresses_that_it_used_last() {
    let auth = Auth::start().await;
    register_from(&auth, "anna", HOME).await;
    for number in 1..=25 {
        auth.log_in_from("anna", PASSWORD, &format!("203.0.113.{number}")).await.unwrap();
    }
    assert_eq!(auth.count("SELECT count(*) FROM auth.known_networks").await, 20);
    let oldest = "SELECT count(*) FROM auth.known_networks WHERE network = '203.0.113.6'";
    assert_eq!(auth.count(oldest).await, 1);
}

#[tokio::test]
async fn void_rows_are_deleted_and_the_failures_are_bounded() {
    let auth = Auth::start().await;
    register_from(&auth, "anna", HOME).await;
    register_from(&auth, "berta", AWAY).await;
    auth.execute(
        "UPDATE auth.known_networks SET last_used_at = now() - INTERVAL '31 days'
            WHERE network = '192.0.2.1';
        INSERT INTO auth.log_in_failures
            SELECT sha256(number::TEXT::BYTEA), '', 1, now() - INTERVAL '61 minutes'
            FROM generate_series(1, 5000) AS number;
        INSERT INTO auth.log_in_failures
            SELECT sha256(number::TEXT::BYTEA), 'new', 1, now() - number * INTERVAL '1 ms'
            FROM generate_series(1, 201000) AS number",
    )
    .await;
    // A replica does it at its start, and then twice a minute.
    let _second = Auth::start_on(&auth.database_url, auth.clock.clone(), &[]).await;
    let rows = "SELECT count(*) FROM auth.log_in_failures";
    eventually(async || auth.count(rows).await == 200_000).await;
    let newest = "SELECT count(*) FROM auth.log_in_failures
        WHERE last_failed_at > now() - INTERVAL '150 s'";
    assert!(auth.count(newest).await > 100_000);
    let networks = "SELECT count(*) FROM auth.known_networks";
    eventually(async || auth.count(networks).await == 1).await;
}
