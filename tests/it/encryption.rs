//! A stack whose processes connect to each other, to Postgres and to Redis over TLS only.

use std::path::Path;
use std::time::Duration;

use parlance_devstack::Stack;
use parlance_devstack::certificates::Authority;
use sqlx::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::support::{
    RECOVERY, RESTART, eventually, make_room, on_own_stack, people, server_certificate,
    server_certificate_without_client_certificate, try_auth_command,
};

const SERVICES: [&str; 4] = ["auth", "contacts", "rooms", "messaging"];

#[tokio::test]
async fn every_connection_is_encrypted_and_needs_a_certificate() {
    on_own_stack(Stack::builder().replicas(2).gateways(2).encrypted(), async |stack| {
        messages_pass_between_gateways(stack).await;
        every_service_refuses_clients_without_a_certificate(stack).await;
        every_service_connects_to_postgres_over_tls(stack).await;
        auth_refuses_a_postgres_of_another_authority(stack).await;
        messaging_refuses_a_redis_of_another_authority(stack).await;
    })
    .await;
}

async fn messages_pass_between_gateways(stack: &Stack) {
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut bens = ben.at(stack, 1).subscribed(room).await;
    for content in ["One", "Two", "Three"] {
        anna.send_message(room, content).await;
        assert_eq!(bens.next().await["message"]["content"], content);
    }
}

async fn every_service_refuses_clients_without_a_certificate(stack: &Stack) {
    let known = stack.certificate("gateway").unwrap();
    for service in SERVICES {
        let address = stack.address(service, 0);
        server_certificate(address, &known).await.unwrap();
        server_certificate_without_client_certificate(address, &known.ca).await.unwrap_err();
        let mut in_the_clear = TcpStream::connect(address).await.unwrap();
        in_the_clear.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        // A TLS alert begins with 21.
        let _ = in_the_clear.read_to_end(&mut answer).await;
        assert!(answer.first().is_none_or(|first| *first == 21), "{service}: {answer:?}");
    }
}

async fn every_service_connects_to_postgres_over_tls(stack: &Stack) {
    let mut superuser = stack.postgres().connect("parlance").await.unwrap();
    let of_services: Vec<(String, bool)> = sqlx::query_as(
        "SELECT DISTINCT usename::TEXT, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
         WHERE usename = ANY ($1) ORDER BY usename",
    )
    .bind(SERVICES.map(str::to_owned))
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    let mut expected = SERVICES.map(|service| (service.to_owned(), true));
    expected.sort();
    assert_eq!(of_services, expected);
    superuser.close().await.unwrap();
}

/// Auth refuses a Postgres whose certificate another authority has signed.
async fn auth_refuses_a_postgres_of_another_authority(stack: &Stack) {
    let url = stack.role_url("auth").unwrap();
    let foreign =
        Authority::new().unwrap().issue(&stack.folder().join("foreign"), &["127.0.0.1"]).unwrap();
    let status = async |ca: &Path| {
        let url = format!("{url}?sslmode=verify-full&sslrootcert={}", ca.display());
        try_auth_command(&["migrate", "--status"], &[("DATABASE_URL", &url)]).await
    };
    let good = status(&stack.certificate("postgres").unwrap().ca).await;
    assert!(good.status.success(), "{good:?}");
    let refused = status(&foreign.ca).await;
    assert!(!refused.status.success(), "{refused:?}");
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("invalid peer certificate"),
        "{refused:?}"
    );
}

async fn messaging_refuses_a_redis_of_another_authority(stack: &Stack) {
    let messaging = stack.process("messaging", 0);
    let has_connected = async || {
        let metrics = stack.metrics("messaging", 0).await.unwrap();
        let mut counts = metrics
            .lines()
            .filter(|line| line.starts_with("parlance_messaging_redis_connections_total"));
        counts.any(|line| !line.ends_with(" 0"))
    };
    let restart_with = async |ca: &Path| {
        messaging.set_environment("REDIS_CA", &ca.display().to_string());
        messaging.kill().await.unwrap();
        messaging.restart(RESTART).await.unwrap();
    };
    eventually(RECOVERY, "messaging connects to Redis", has_connected).await;

    restart_with(&stack.folder().join("foreign/ca.pem")).await;
    for _ in 0..20 {
        assert!(!has_connected().await, "it believes a Redis of another authority");
        sleep(Duration::from_millis(100)).await;
    }
    messages_pass_between_gateways(stack).await;
    restart_with(&stack.certificate("redis").unwrap().ca).await;
    eventually(RECOVERY, "messaging connects to Redis again", has_connected).await;
}
