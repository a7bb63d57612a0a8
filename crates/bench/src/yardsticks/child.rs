//! Yardsticks that serve run as processes of their own, as Parlance does: this program under
//! another name. Such a process ends when its standard input does, so it never outlives this one.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;
use std::{env, io, thread};

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

const START_DEADLINE: Duration = Duration::from_secs(20);

/// A yardstick that serves. It ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct Yardstick {
    pub(crate) address: SocketAddr,
    /// Of its process.
    pub(crate) id: u32,
    _input: ChildStdin,
    _process: Child,
}

impl Yardstick {
    /// Starts it with a line on its standard input, and returns when it serves.
    pub(crate) async fn start(command: &str, line: &str) -> anyhow::Result<Self> {
        let program = env::current_exe().context("the path of the running program is unknown")?;
        let mut process = Command::new(program)
            .arg(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a yardstick")?;
        let mut input = process.stdin.take().context("a yardstick has an input")?;
        let output = process.stdout.take().context("a yardstick has an output")?;
        let starting = async {
            input.write_all(format!("{line}\n").as_bytes()).await?;
            let mut answer = String::new();
            BufReader::new(output).read_line(&mut answer).await?;
            ensure!(!answer.is_empty(), "it has ended");
            Ok(answer.trim().parse()?)
        };
        let address =
            timeout(START_DEADLINE, starting).await.context("a yardstick does not serve")?;
        let address = address.context("a yardstick")?;
        let id = process.id().context("a yardstick has ended")?;
        Ok(Self { address, id, _input: input, _process: process })
    }
}

/// What a yardstick's process has of the one that started it.
#[derive(Debug)]
pub(super) struct Parent {
    /// The line that it was started with.
    pub(super) line: String,
    end: oneshot::Receiver<()>,
}

impl Parent {
    /// Waits for the line.
    pub(super) fn new() -> anyhow::Result<Self> {
        let mut line = String::new();
        io::stdin().read_line(&mut line).context("cannot read what to do")?;
        let (sender, end) = oneshot::channel();
        thread::spawn(move || {
            // An input that cannot be read is as good as none.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            let _ = sender.send(());
        });
        Ok(Self { line, end })
    }

    /// A listener on a free port that the parent has been told of.
    pub(super) async fn listener(&self) -> anyhow::Result<TcpListener> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);
        Ok(listener)
    }

    /// Returns when the parent wants this process to end, or has ended.
    pub(super) async fn end(self) {
        let _ = self.end.await;
    }
}
