//! A baseline that serves runs in a process of its own, as Parlance does: this program with another
//! subcommand. The process ends with its standard input, so it does not outlive its parent.

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

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A baseline that serves. It ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// The id of the process.
    pub(crate) id: u32,
    _input: ChildStdin,
    _process: Child,
}

impl Server {
    /// Starts a subcommand with a line on its standard input. Returns when it serves.
    pub(crate) async fn start(command: &str, line: &str) -> anyhow::Result<Self> {
        let program = env::current_exe().context("the path of the running program is unknown")?;
        let mut process = Command::new(program)
            .arg(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a baseline")?;
        let mut input = process.stdin.take().context("a baseline has an input")?;
        let output = process.stdout.take().context("a baseline has an output")?;
        let starting = async {
            input.write_all(format!("{line}\n").as_bytes()).await?;
            let mut answer = String::new();
            BufReader::new(output).read_line(&mut answer).await?;
            ensure!(!answer.is_empty(), "it has exited");
            Ok(answer.trim().parse()?)
        };
        let address =
            timeout(START_TIMEOUT, starting).await.context("a baseline does not serve")?;
        let address = address.context("a baseline")?;
        let id = process.id().context("a baseline has exited")?;
        Ok(Self { address, id, _input: input, _process: process })
    }
}

/// The parent of a baseline's process.
#[derive(Debug)]
pub(super) struct Parent {
    /// The line that the parent has written.
    pub(super) line: String,
    end: oneshot::Receiver<()>,
}

impl Parent {
    /// Waits for the parent's line.
    pub(super) fn new() -> anyhow::Result<Self> {
        let mut line = String::new();
        io::stdin().read_line(&mut line).context("cannot read the line of the parent")?;
        let (sender, end) = oneshot::channel();
        thread::spawn(move || {
            // An error is treated like the end of the input.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            let _ = sender.send(());
        });
        Ok(Self { line, end })
    }

    /// Listens on a free port and prints the address for the parent.
    pub(super) async fn listener(&self) -> anyhow::Result<TcpListener> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);
        Ok(listener)
    }

    /// Returns when the parent has closed the standard input, or has ended.
    pub(super) async fn end(self) {
        let _ = self.end.await;
    }
}
