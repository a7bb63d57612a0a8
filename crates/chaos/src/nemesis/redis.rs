//! What Redis itself can be told to do.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(5);

/// The URL is that of a user who may do everything. Redis understands commands as lines; no client
/// library is needed for two of them.
pub(super) async fn cut_subscribers(url: &str) -> anyhow::Result<()> {
    let rest = url.strip_prefix("redis://").and_then(|rest| rest.split_once('@'));
    let (login, address) = rest.context("the URL of Redis has another form")?;
    let login = login.replace(':', " ");
    let answer = timeout(DEADLINE, async {
        let mut stream = TcpStream::connect(address).await?;
        let commands = format!("AUTH {login}\r\nCLIENT KILL TYPE pubsub\r\nQUIT\r\n");
        stream.write_all(commands.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    });
    let answer = answer.await.context("Redis did not answer")??;
    ensure!(answer.starts_with("+OK\r\n:"), "Redis answered {answer:?}");
    Ok(())
}
