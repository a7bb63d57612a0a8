//! Registering.

use std::fs;
use std::future::poll_fn;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use parlance_core::ErrorCode;
use parlance_proto::auth::{EnsureProbeAccountRequest, FindUsersRequest, GetUsersRequest};
use parlance_runtime::error::code_from_status;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::app::{Auth, PASSWORD, refusal, registration};

#[tokio::test]
async fn a_new_user_is_active_and_named_as_sent() {
    let auth = Auth::start().await;
    let user = auth.register("JürgenÄ1").await;
    assert!(user.id > 0 && user.is_active);
    assert_eq!(user.username, "JürgenÄ1");
    assert_eq!(user.created_at_us, auth.clock.now().as_micros());
    assert_eq!(user.updated_at_us, user.created_at_us);
}

#[tokio::test]
async fn registering_a_taken_name_in_other_case_is_refused() {
    let auth = Auth::start().await;
    auth.register("Straße").await;
    for name in ["Straße", "straße", "STRASSE", "ｓｔｒａｓｓｅ"] {
        assert_eq!(
            refusal(auth.try_register(name, PASSWORD).await),
            ErrorCode::UsernameTaken,
            "{name}"
        );
    }
}

#[tokio::test]
async fn names_and_passwords_that_break_the_rules_are_refused() {
    let auth = Auth::start().await;
    let too_long = "a".repeat(73);
    let requests = [
        ("ab", PASSWORD),
        ("an na", PASSWORD),
        ("p\u{430}ypal", PASSWORD),
        ("anna", "1234567"),
        ("anna", &too_long),
        ("anna", "pass\0word"),
    ];
    for (name, password) in requests {
        let refusal = refusal(auth.try_register(name, password).await);
        assert_eq!(refusal, ErrorCode::Validation, "{name:?} {password:?}");
    }
    assert_eq!(auth.count("SELECT count(*) FROM auth.users").await, 0);
}

#[tokio::test]
async fn a_password_of_72_bytes_is_compared_to_its_last_byte() {
    let auth = Auth::start().await;
    let password = "ä".repeat(36);
    auth.try_register("anna", &password).await.unwrap();
    auth.log_in("anna", &password).await.unwrap();

    for wrong in ["ä".repeat(35) + "ö", "ä".repeat(35), "ä".repeat(36) + "x"] {
        assert_eq!(refusal(auth.log_in("anna", &wrong).await), ErrorCode::InvalidCredentials);
    }
}

#[tokio::test]
async fn passwords_are_stored_as_bcrypt_hashes_of_the_configured_cost() {
    let auth = Auth::start_with(&["--bcrypt-cost", "5"]).await;
    auth.register("anna").await;
    let hashed =
        auth.count("SELECT count(*) FROM auth.users WHERE password_hash LIKE '$2b$05$%'").await;
    assert_eq!(hashed, 1);
}

#[tokio::test]
async fn twenty_registrations_of_one_name_make_one_user() {
    let first = Auth::start().await;
    let second = Auth::start_on(&first.database_url, first.clock.clone(), &[]).await;
    let attempts = (0..20).map(|number| {
        let auth = if number % 2 == 0 { &first } else { &second };
        let mut client = auth.grpc();
        let username = if number % 3 == 0 { "ANNA" } else { "anna" }.to_owned();
        let request = registration(username, "");
        async move { client.register(request).await }
    });
    let results = attempts.collect::<JoinSet<_>>().join_all().await;

    let refusals: Vec<ErrorCode> =
        results.iter().filter_map(|result| result.as_ref().err()).map(code_from_status).collect();
    assert_eq!(refusals, [ErrorCode::UsernameTaken; 19]);
    assert_eq!(first.count("SELECT count(*) FROM auth.users").await, 1);
}

/// The runtime of the test has one thread. A hash computed there would delay one look-up for nearly
/// as long as the registration takes.
#[tokio::test]
async fn look_ups_are_answered_while_a_password_is_hashed() {
    let auth = Auth::start_with(&["--bcrypt-cost", "13"]).await;
    let started = Instant::now();
    let mut registration = pin!(auth.try_register("anna", PASSWORD));
    let mut longest_look_up = Duration::ZERO;
    loop {
        let sent_at = Instant::now();
        let mut client = auth.grpc();
        let look_up = client.get_users(GetUsersRequest { user_ids: vec![1] });
        let (answer, polled) = tokio::join!(look_up, poll_once(&mut registration));
        answer.unwrap();
        longest_look_up = longest_look_up.max(sent_at.elapsed());
        if let Poll::Ready(result) = polled {
            result.unwrap();
            break;
        }
    }
    let (longest, whole) = (longest_look_up, started.elapsed());
    assert!(
        longest < whole / 2,
        "a look-up took {longest:?} while the registration took {whole:?}"
    );
}

/// A thread of this process: its name, and its niceness (proc(5), field 19).
fn name_and_niceness(thread: &Path) -> Option<(String, i32)> {
    let stat = fs::read_to_string(thread.join("stat")).ok()?;
    let (name, fields) = stat.split_once('(')?.1.rsplit_once(") ")?;
    Some((name.to_owned(), fields.split(' ').nth(16)?.parse().ok()?))
}

#[tokio::test]
async fn hashing_threads_have_a_lower_priority_than_the_others() {
    let _auth = Auth::start().await;
    let (_, own) = name_and_niceness(Path::new("/proc/thread-self")).unwrap();
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    let hashing: Vec<i32> = threads
        .filter_map(|thread| name_and_niceness(&thread))
        .filter_map(|(name, niceness)| (name == "hashing").then_some(niceness))
        .collect();
    assert!(!hashing.is_empty());
    assert!(hashing.iter().all(|&niceness| niceness == (own + 10).min(19)), "{hashing:?}");
}

/// Polls a future once. It can be polled further.
async fn poll_once<F: Future>(future: &mut Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

#[tokio::test]
async fn the_probe_has_one_account_that_no_name_finds_and_no_password_opens() {
    let auth = Auth::start().await;
    let ensure = async || {
        let mut client = auth.grpc();
        client.ensure_probe_account(EnsureProbeAccountRequest {}).await.unwrap().into_inner()
    };
    let account = ensure().await.user.unwrap();
    assert_eq!(ensure().await.user.unwrap(), account);
    let name = account.username;
    assert_eq!(refusal(auth.try_register(&name, PASSWORD).await), ErrorCode::Validation);
    assert_eq!(refusal(auth.log_in(&name, "!").await), ErrorCode::InvalidCredentials);
    let request = FindUsersRequest { usernames: vec![name] };
    assert_eq!(auth.grpc().find_users(request).await.unwrap().into_inner().found, []);
}
