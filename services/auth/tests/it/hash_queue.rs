//! How requests wait until their passwords are hashed.

use std::time::{Duration, Instant};

use parlance_core::ErrorCode;
use parlance_proto::auth::RegisterResponse;
use parlance_runtime::error::{code_from_status, retry_after_from_status};
use tokio::task::JoinSet;
use tonic::{Response, Status};

use crate::app::{Auth, registration};

type Registrations = JoinSet<Result<Response<RegisterResponse>, Status>>;

/// Registers users from an address at the same time. Their names begin alike.
fn register_all(auth: &Auth, count: usize, prefix: &str, address: &str) -> Registrations {
    let register = |number: usize| {
        let mut client = auth.grpc();
        let letter = char::from(b'a' + number as u8);
        let request = registration(format!("{prefix}{letter}"), address);
        async move { client.register(request).await }
    };
    (0..count).map(register).collect()
}

/// Checks that some registrations were accepted, at least as many as these, and that the others
/// were refused with this code and a time after which to retry.
async fn assert_some_refused(registrations: Registrations, at_least: usize, code: ErrorCode) {
    let results = registrations.join_all().await;
    let (accepted, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert!(accepted.len() >= at_least, "{}", accepted.len());
    assert!(!refused.is_empty(), "no request was refused");
    for status in refused.into_iter().filter_map(Result::err) {
        assert_eq!(code_from_status(&status), code);
        assert!(retry_after_from_status(&status) >= Some(Duration::from_secs(1)));
    }
}

#[tokio::test]
async fn a_full_queue_is_unavailable_with_retry_after() {
    let settings = ["--bcrypt-cost", "10", "--hash-threads", "1", "--hash-queue", "2"];
    let auth = Auth::start_with(&settings).await;
    // One is hashed and two wait.
    assert_some_refused(register_all(&auth, 10, "anna", ""), 3, ErrorCode::Unavailable).await;
    auth.register("berta").await;
}

#[tokio::test]
async fn a_full_share_of_an_address_is_rate_limited_and_refuses_no_other() {
    let settings = ["--bcrypt-cost", "10", "--hash-threads", "1", "--hash-queue-per-address", "2"];
    let auth = Auth::start_with(&settings).await;
    let flood = register_all(&auth, 10, "anna", "2001:db8::1");
    let others = ["2001:db8:0:1::1", "192.0.2.1", ""].map(|address| {
        let prefix = format!("berta{}", address.len());
        register_all(&auth, 2, &prefix, address)
    });
    assert_some_refused(flood, 2, ErrorCode::RateLimited).await;
    for others in others {
        assert!(others.join_all().await.iter().all(Result::is_ok));
    }
}

/// The time is compared with that of one hash, so that the speed of the machine does not matter.
#[tokio::test]
async fn callers_that_have_gone_are_not_hashed() {
    let auth = Auth::start_with(&["--bcrypt-cost", "10", "--hash-threads", "1"]).await;
    let started = Instant::now();
    auth.register("anna").await;
    let one = started.elapsed();

    let mut gone = register_all(&auth, 20, "berta", "");
    tokio::time::sleep(one / 2).await;
    gone.shutdown().await;
    let started = Instant::now();
    auth.register("clara").await;
    let waited = started.elapsed();
    assert!(waited < 10 * one, "{waited:?} instead of about 2 × {one:?}");
}
