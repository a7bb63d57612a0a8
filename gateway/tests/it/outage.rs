//! Services that are unreachable, or that accept a connection and never answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use crate::app::{FOREIGN_TOKEN, TestGateway, assert_error};

const LOG_IN: &str = r#"{"username": "ann", "password": "secret"}"#;

#[tokio::test]
async fn an_unreachable_service_is_unavailable() {
    let gateway = TestGateway::start().await;
    let response = gateway.post("/v1/auth/login", LOG_IN).await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_error(response, 503, "unavailable").await;
}

#[tokio::test]
async fn a_service_that_hangs_is_unavailable_within_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], parlance_devstack::free_port().unwrap()));
    let gateway =
        TestGateway::start_with_services_at(address, &silent.local_addr().unwrap().to_string())
            .await;
    let started = Instant::now();
    let response = gateway.post("/v1/auth/login", LOG_IN).await;
    assert_error(response, 503, "unavailable").await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_token_that_cannot_be_verified_is_unavailable_not_invalid() {
    let gateway = TestGateway::start().await;
    let request = gateway.request("GET", "/v1/auth/me").bearer_auth(FOREIGN_TOKEN);
    assert_error(request.send().await.unwrap(), 503, "unavailable").await;
}

#[tokio::test]
async fn the_keys_are_unavailable_before_auth_has_sent_them() {
    let gateway = TestGateway::start().await;
    assert_error(gateway.get("/.well-known/jwks.json").await, 503, "unavailable").await;
}

#[tokio::test]
async fn a_gateway_without_auth_is_alive_but_not_ready() {
    let gateway = TestGateway::start().await;
    assert!(!gateway.lifecycle.is_ready());
    assert!(!gateway.lifecycle.draining().is_cancelled());
    assert_eq!(gateway.get("/v1/healthz").await.status(), 200);
}
