//! Whose registrations and log-ins are counted together. Those within the limit fail for want of
//! auth.

use futures_util::future::join_all;

use crate::app::{TestGateway, assert_refused};

const CREDENTIALS: &str = r#"{"username": "ann", "password": "securepass123"}"#;

/// The status of a log-in that claims to be forwarded for somebody.
async fn log_in_for(gateway: &TestGateway, forwarded_for: &str) -> u16 {
    let request =
        gateway.request("POST", "/v1/auth/login").header("x-forwarded-for", forwarded_for);
    let response =
        request.header("content-type", "application/json").body(CREDENTIALS).send().await.unwrap();
    response.status().as_u16()
}

/// How many of three log-ins at once, each forwarded for somebody, were too many.
async fn refused_of_three(settings: &[&str], forwarded_for: [&str; 3]) -> usize {
    let strict = ["--max-log-ins-per-second=1", "--log-ins-burst=1"];
    let gateway = TestGateway::start_with_settings(&[&strict, settings].concat()).await;
    let statuses = join_all(forwarded_for.map(|somebody| log_in_for(&gateway, somebody))).await;
    assert!(statuses.iter().all(|status| [429, 503].contains(status)), "{statuses:?}");
    statuses.iter().filter(|&&status| status == 429).count()
}

#[tokio::test]
async fn what_a_stranger_says_of_its_address_counts_for_nothing() {
    let strangers = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    assert_eq!(refused_of_three(&[], strangers).await, 2);
    assert_eq!(refused_of_three(&["--trusted-proxies=10.0.0.0/8,127.0.0.2"], strangers).await, 2);
}

#[tokio::test]
async fn a_trusted_proxy_tells_clients_apart_whatever_they_invent() {
    let trusted = ["--trusted-proxies=127.0.0.0/8"];
    let clients = ["192.0.2.1", "8.8.8.8, 192.0.2.1", "192.0.2.2"];
    assert_eq!(refused_of_three(&trusted, clients).await, 1);
    let clients = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"];
    assert_eq!(refused_of_three(&trusted, clients).await, 1);
}

#[tokio::test]
async fn registrations_and_log_ins_are_counted_together_and_only_sound_ones() {
    let gateway =
        TestGateway::start_with_settings(&["--max-log-ins-per-second=1", "--log-ins-burst=2"])
            .await;
    for _ in 0..5 {
        assert_refused(gateway.post("/v1/auth/register", "{}").await, 422, "validation_error")
            .await;
    }
    let register = || gateway.post("/v1/auth/register", CREDENTIALS);
    let (one, other) = tokio::join!(register(), gateway.post("/v1/auth/login", CREDENTIALS));
    assert_eq!([one.status(), other.status()], [503, 503]);

    let settings = ["--max-log-ins-per-second=1", "--log-ins-burst=1"];
    let gateway = TestGateway::start_with_settings(&settings).await;
    let (one, other) = tokio::join!(
        gateway.post("/v1/auth/register", CREDENTIALS),
        gateway.post("/v1/auth/login", CREDENTIALS)
    );
    let refused = if one.status() == 429 { one } else { other };
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_refused(refused, 429, "rate_limited").await;
}
