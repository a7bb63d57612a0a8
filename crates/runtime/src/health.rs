//! The client of the admin port's `/readyz`, for the health checks of containers: their image has
//! no other program that could send the request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::HealthConfig;

/// Below the 5 s after which container engines give up, so that the error is printed.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// More than a response of `/readyz`.
const MAX_RESPONSE_BYTES: u64 = 4_096;

/// Requests `/readyz` from the process with this admin port. Fails if the process is not ready, or
/// does not respond in time.
pub async fn check(config: &HealthConfig) -> anyhow::Result<()> {
    let address = local_address(config.admin_listen);
    let response = timeout(RESPONSE_TIMEOUT, get_ready(address)).await;
    let response =
        response.with_context(|| format!("{address} does not respond (ADMIN_LISTEN)"))??;
    let status = response.lines().next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "the process is not ready: {status}");
    Ok(())
}

/// A process that listens on all addresses is reached on the loopback address.
fn local_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn get_ready(address: SocketAddr) -> anyhow::Result<String> {
    let stream = TcpStream::connect(address).await;
    let mut stream = stream.with_context(|| format!("cannot reach {address} (ADMIN_LISTEN)"))?;
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut response = String::new();
    stream.take(MAX_RESPONSE_BYTES).read_to_string(&mut response).await?;
    Ok(response)
}
