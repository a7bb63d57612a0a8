//! Checks that a started process can do its work.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, ensure};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bounds one check and one HTTP request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Far more than a metrics page has.
const MAX_RESPONSE_BYTES: u64 = 16 * 1024 * 1024;

/// How to check that a process is ready.
#[derive(Clone, Debug)]
pub(crate) enum Readiness {
    /// There is no check: the process runs and ends.
    Unchecked,
    /// A client can log in.
    Postgres(Box<PgConnectOptions>),
    /// A client can log in and `PING`.
    Redis { port: u16, user: &'static str, password: String },
    /// `/readyz` on the admin port answers 200.
    AdminPort(u16),
}

impl Readiness {
    /// Returns an error if the process is not ready.
    pub(crate) async fn check(&self) -> anyhow::Result<()> {
        let check = async {
            match self {
                Self::Unchecked => Ok(()),
                Self::Postgres(options) => Ok(options.connect().await?.close().await?),
                Self::Redis { port, user, password } => ping_redis(*port, user, password).await,
                Self::AdminPort(port) => http_get(*port, "/readyz").await.map(drop),
            }
        };
        timeout(TIMEOUT, check).await.context("no answer")?
    }
}

/// Returns the body of an HTTP response, which must be 200.
pub(crate) async fn http_get(port: u16, path: &str) -> anyhow::Result<String> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let response = timeout(TIMEOUT, exchange(port, &request, MAX_RESPONSE_BYTES)).await;
    let response = response.context("no answer")??;
    let (head, body) = response.split_once("\r\n\r\n").context("not an HTTP response")?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    ensure!(status == "200", "{path} was answered with {status}: {}", body.trim());
    Ok(body.to_owned())
}

async fn ping_redis(port: u16, user: &str, password: &str) -> anyhow::Result<()> {
    const EXPECTED: &str = "+OK\r\n+PONG\r\n";
    let request = format!("AUTH {user} {password}\r\nPING\r\n");
    let response = exchange(port, &request, EXPECTED.len() as u64).await?;
    ensure!(response == EXPECTED, "Redis answered: {}", response.trim());
    Ok(())
}

pub(crate) async fn exchange(port: u16, request: &str, max_bytes: u64) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.take(max_bytes).read_to_string(&mut response).await?;
    Ok(response)
}
