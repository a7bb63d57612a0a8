//! `devstack up`: runs Parlance for development, on data that stays.

use std::future::pending;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail, ensure};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use crate::port::is_free;
use crate::postgres::Durability;
use crate::progress::Progress;
use crate::project::ProjectFolder;
use crate::secrets::write_secret;
use crate::stack::{Plan, Stack, Wiring};

/// Shell commands that show what Parlance does.
const CONVERSATION: &str = include_str!("conversation.sh");
/// The address in them: the default of the first gateway.
const DEFAULT_ADDRESS: &str = "http://localhost:8000";

/// The options of `devstack up`.
#[derive(Args, Debug)]
pub struct Options {
    /// The number of processes of each service and of gateways, 1 to 8.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..=8))]
    replicas: u16,
    /// The port of the first gateway. The next gateways have the next ports.
    #[arg(long, default_value = "8000", value_parser = clap::value_parser!(u16).range(1..=65_000))]
    port: u16,
    /// The address of the gateways. With 0.0.0.0 other machines can connect.
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST.into())]
    host: IpAddr,
    /// The folder of the data.
    #[arg(long, env = "PARLANCE_DATA_DIR", default_value = ".parlance")]
    data_dir: PathBuf,
}

/// Starts a stack and stops it after Ctrl-C or SIGTERM. Returns an error if a process ends by
/// itself.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let folder = ProjectFolder::lock(&options.data_dir)?;
    let mut signals = Signals::new()?;
    let stack = tokio::select! {
        stack = start(&options, &folder) => stack?,
        () = signals.next() => bail!("stopped before it was ready"),
    };
    write_secret(&folder.path().join("addresses"), &stack.addresses())?;
    println!("{}", welcome(&options, &folder));

    let result = tokio::select! {
        error = first_failure(&stack) => Err(error),
        () = signals.next() => Ok(()),
    };
    match &result {
        Ok(()) => eprintln!("\nStopping; Ctrl-C once more stops without waiting."),
        Err(_) => eprintln!("\nA process has ended by itself. Stopping the others."),
    }
    tokio::select! {
        stopped = stack.stop() => stopped?,
        () = signals.next() => bail!("stopped without waiting"),
    }
    eprintln!("Stopped. The data is kept in {}.", folder.path().display());
    result
}

async fn start(options: &Options, folder: &ProjectFolder) -> anyhow::Result<Stack> {
    let gateways = options.gateways();
    for gateway in &gateways {
        ensure!(
            is_free(gateway.ip(), gateway.port()),
            "port {} of {} is in use or not allowed: stop the program that listens there, \
             or choose another port with `make up PORT=…` (`--port`)",
            gateway.port(),
            gateway.ip()
        );
    }
    let progress = Progress::new();
    let plan = Plan {
        folder: folder.path().to_owned(),
        durability: Durability::Durable,
        secrets: folder.secrets()?,
        replicas: options.replicas.into(),
        gateways,
        settings: Vec::new(),
        wiring: Wiring::default(),
        is_encrypted: false,
    };
    Stack::start(plan, &|step| progress.step(step)).await
}

impl Options {
    fn gateways(&self) -> Vec<SocketAddr> {
        (self.port..self.port + self.replicas).map(|port| (self.host, port).into()).collect()
    }

    fn urls(&self) -> Vec<String> {
        let is_local = self.host.is_loopback() || self.host.is_unspecified();
        let host = if is_local { "localhost".to_owned() } else { self.host.to_string() };
        self.gateways().iter().map(|gateway| format!("http://{host}:{}", gateway.port())).collect()
    }
}

fn welcome(options: &Options, folder: &ProjectFolder) -> String {
    let urls = options.urls();
    let conversation = CONVERSATION.replace(DEFAULT_ADDRESS, &urls[0]);
    let others = match &urls[1..] {
        [] => String::new(),
        others => format!("\n                        and {}", others.join(", ")),
    };
    format!(
        "
Parlance is up.

  API                   {}{others}
  Documentation         {}/docs
  Logs                  {}/logs
  Other addresses       {}/addresses

A conversation to paste into another terminal:

{conversation}
Ctrl-C stops everything; the data stays until `make reset`.",
        urls[0],
        urls[0],
        folder.path().display(),
        folder.path().display(),
    )
}

/// Waits until a process ends by itself.
async fn first_failure(stack: &Stack) -> anyhow::Error {
    loop {
        for process in stack.processes() {
            if let Some(status) = process.exit_status() {
                return anyhow!(
                    "{} has ended by itself ({status}){}",
                    process.name(),
                    process.last_lines()
                );
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// The signals that stop this process.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self([interrupt, terminate, hangup]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        let received = tokio::select! {
            received = interrupt.recv() => received,
            received = terminate.recv() => received,
            received = hangup.recv() => received,
        };
        if received.is_none() {
            // The runtime is ending: no signal will arrive.
            pending::<()>().await;
        }
    }
}

#[cfg(test)]
#[path = "tests/up.rs"]
mod tests;
