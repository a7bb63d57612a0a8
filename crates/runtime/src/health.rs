//! Asking a process how it is: for the health checks of containers, whose image holds no other
//! program that could ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::HealthConfig;

/// Below the five seconds after which container engines give up, so that the reason is told.
const ANSWER_DEADLINE: Duration = Duration::from_secs(3);
/// More than `/readyz` ever answers.
const MOST_BYTES: u64 = 4_096;

/// Asks the process that serves this admin port for `/readyz`: an error if it is not ready, or does
/// not answer in time.
pub async fn check(config: &HealthConfig) -> anyhow::Result<()> {
    let address = reachable(config.admin_listen);
    let asked = timeout(ANSWER_DEADLINE, get_ready(address)).await;
    let answer = asked.with_context(|| format!("{address} does not answer (ADMIN_LISTEN)"))??;
    let status = answer.lines().next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "the process is not ready: {status}");
    Ok(())
}

/// Who listens everywhere listens here, too.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn get_ready(address: SocketAddr) -> anyhow::Result<String> {
    let connected = TcpStream::connect(address).await;
    let mut stream = connected.with_context(|| format!("cannot reach {address} (ADMIN_LISTEN)"))?;
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.take(MOST_BYTES).read_to_string(&mut answer).await?;
    Ok(answer)
}
