//! A fault that Redis itself carries out.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Ends the connections of all subscribers. The URL must name a user with all rights. Redis accepts
/// commands as plain lines, so no client library is needed.
pub(super) async fn drop_subscribers(url: &str) -> anyhow::Result<()> {
    let parts = url.strip_prefix("redis://").and_then(|url| url.split_once('@'));
    let (login, address) = parts.context("the URL of Redis is not redis://user:password@host")?;
    let login = login.replace(':', " ");
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let commands = format!("AUTH {login}\r\nCLIENT KILL TYPE pubsub\r\nQUIT\r\n");
        stream.write_all(commands.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(TIMEOUT, exchange).await.context("Redis did not answer in time")??;
    ensure!(answer.starts_with("+OK\r\n:"), "Redis answered {answer:?}");
    Ok(())
}
