//! Which registrations and log-ins are counted together. Within the limit they fail, because auth
//! is unreachable.

use futures_util::future::join_all;

use crate::app::{TestGateway, assert_error};

const CREDENTIALS: &str = r#"{"username": "ann", "password": "securepass123"}"#;

/// Returns the status of a log-in with this `X-Forwarded-For`.
async fn log_in_for(gateway: &TestGateway, forwarded_for: &str) -> u16 {
    let request =
        gateway.request("POST", "/v1/auth/login").header("x-forwarded-for", forwarded_for);
    let response =
        request.header("content-type", "application/json").body(CREDENTIALS).send().await.unwrap();
    response.status().as_u16()
}

/// Sends three log-ins at once, each with its own `X-Forwarded-For`. Returns how many were refused.
async fn refused_log_ins(settings: &[&str], forwarded_for: [&str; 3]) -> usize {
    let strict = ["--log-ins-per-minute=1", "--log-ins-burst=1"];
    let gateway = TestGateway::start_with_settings(&[&strict, settings].concat()).await;
    let statuses = join_all(forwarded_for.map(|value| log_in_for(&gateway, value))).await;
    assert!(statuses.iter().all(|status| [429, 503].contains(status)), "{statuses:?}");
    statuses.iter().filter(|&&status| status == 429).count()
}

#[tokio::test]
async fn the_forwarded_address_of_an_untrusted_peer_is_ignored() {
    let addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    assert_eq!(refused_log_ins(&[], addresses).await, 2);
    assert_eq!(refused_log_ins(&["--trusted-proxies=10.0.0.0/8,127.0.0.2"], addresses).await, 2);
}

#[tokio::test]
async fn a_trusted_proxy_tells_clients_apart_whatever_they_send() {
    let trusted = ["--trusted-proxies=127.0.0.0/8"];
    let clients = ["192.0.2.1", "8.8.8.8, 192.0.2.1", "192.0.2.2"];
    assert_eq!(refused_log_ins(&trusted, clients).await, 1);
    let clients = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"];
    assert_eq!(refused_log_ins(&trusted, clients).await, 1);
}

#[tokio::test]
async fn valid_registrations_and_log_ins_are_counted_together() {
    let gateway =
        TestGateway::start_with_settings(&["--log-ins-per-minute=1", "--log-ins-burst=2"]).await;
    for _ in 0..5 {
        assert_error(gateway.post("/v1/auth/register", "{}").await, 422, "validation_error").await;
    }
    let register = || gateway.post("/v1/auth/register", CREDENTIALS);
    let (one, other) = tokio::join!(register(), gateway.post("/v1/auth/login", CREDENTIALS));
    assert_eq!([one.status(), other.status()], [503, 503]);

    let settings = ["--log-ins-per-minute=1", "--log-ins-burst=1"];
    let gateway = TestGateway::start_with_settings(&settings).await;
    let (one, other) = tokio::join!(
        gateway.post("/v1/auth/register", CREDENTIALS),
        gateway.post("/v1/auth/login", CREDENTIALS)
    );
    let refused = if one.status() == 429 { one } else { other };
    assert_eq!(refused.headers()["retry-after"], "60");
    assert_error(refused, 429, "rate_limited").await;
}
