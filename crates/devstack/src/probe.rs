//! How one sees that a started process can do its work.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, ensure};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest time for one try.
const PATIENCE: Duration = Duration::from_secs(5);
/// Far more than any metrics page has.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// What to ask a process for.
#[derive(Clone, Debug)]
pub(crate) enum Probe {
    /// Nothing: it is waited for until it ends.
    None,
    /// Log in and ask.
    Postgres(Box<PgConnectOptions>),
    /// Log in and ping.
    Redis { port: u16, user: &'static str, password: String },
    /// `/readyz` on the admin port.
    Ready { admin_port: u16 },
}

impl Probe {
    /// An error as long as the process cannot do its work.
    pub(crate) async fn check(&self) -> anyhow::Result<()> {
        timeout(PATIENCE, self.ask()).await.context("no answer")?
    }

    async fn ask(&self) -> anyhow::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Postgres(options) => Ok(options.connect().await?.close().await?),
            Self::Redis { port, user, password } => ping_redis(*port, user, password).await,
            Self::Ready { admin_port } => get(*admin_port, "/readyz").await.map(drop),
        }
    }
}

/// The body of an HTTP answer, which must be 200.
pub(crate) async fn get(port: u16, path: &str) -> anyhow::Result<String> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let answer =
        timeout(PATIENCE, exchange(port, &request, MOST_BYTES)).await.context("no answer")??;
    let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    ensure!(status == "200", "{path} was answered with {status}: {}", body.trim());
    Ok(body.to_owned())
}

async fn ping_redis(port: u16, user: &str, password: &str) -> anyhow::Result<()> {
    const GOOD: &str = "+OK\r\n+PONG\r\n";
    let answer =
        exchange(port, &format!("AUTH {user} {password}\r\nPING\r\n"), GOOD.len() as u64).await?;
    ensure!(answer == GOOD, "Redis answered: {}", answer.trim());
    Ok(())
}

async fn exchange(port: u16, request: &str, most_bytes: u64) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(most_bytes).read_to_string(&mut answer).await?;
    Ok(answer)
}
