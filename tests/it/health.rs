//! The command `<program> health`, which container engines call.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use parlance_devstack::free_port;
use tokio::process::Command;

use crate::support::{eventually, health, program, stack};

#[tokio::test]
async fn a_ready_part_is_healthy() {
    let stack = stack().await;
    for part in ["gateway", "auth", "contacts", "rooms", "messaging"] {
        // In a container a part listens on every address.
        let everywhere = (Ipv4Addr::UNSPECIFIED, stack.admin_address(part, 0).port()).into();
        let output = health(part, everywhere).await;
        assert!(output.status.success(), "{part}: {output:?}");
    }
}

#[tokio::test]
async fn a_service_without_its_database_is_not_healthy() {
    let admin: SocketAddr = (Ipv4Addr::LOCALHOST, free_port().unwrap()).into();
    let unused_port = free_port().unwrap();
    let mut rooms = Command::new(program("rooms").unwrap());
    rooms
        .arg("serve")
        .env("ADMIN_LISTEN", admin.to_string())
        .env("INTERNAL_TOKEN", "a-secret-of-the-test")
        .env("DATABASE_URL", format!("postgres://rooms:secret@127.0.0.1:{unused_port}/parlance"))
        .stdout(Stdio::null())
        .kill_on_drop(true);
    let _running = rooms.spawn().unwrap();
    let is_refused = async || {
        let output = health("rooms", admin).await;
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).contains("not ready: HTTP/1.1 503")
    };
    eventually(Duration::from_secs(20), "the service reports that it is not ready", is_refused)
        .await;
}

#[tokio::test]
async fn a_paused_part_is_not_healthy() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let begin = Instant::now();
    let output = health("messaging", silent.local_addr().unwrap()).await;
    assert!(!output.status.success(), "{output:?}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}
