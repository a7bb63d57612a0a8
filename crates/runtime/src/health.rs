//! The client of the admin port's `/readyz`, for the health checks of containers: their image has
//! no other program that could send the request.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::config::HealthConfig;

/// Below the 5 s after which container engines give up, so that the error is printed.
const TIMEOUT: Duration = Duration::from_secs(3);
/// More than a response of `/readyz`.
const MAX_RESPONSE_BYTES: u64 = 4_096;

/// Requests `/readyz` from the process with this admin port. Fails if the process is not ready, or
/// does not respond in time. An address such as `0.0.0.0` reaches this host.
pub fn check(config: &HealthConfig) -> anyhow::Result<()> {
    let response = get_ready(config)
        .with_context(|| format!("no response from {} (ADMIN_LISTEN)", config.admin_listen))?;
    let status = response.lines().next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "the process is not ready: {status}");
    Ok(())
}

fn get_ready(config: &HealthConfig) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&config.admin_listen, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.take(MAX_RESPONSE_BYTES).read_to_string(&mut response)?;
    Ok(response)
}
