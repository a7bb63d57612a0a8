//! The machine and the programs of a run. Values that cannot be found are left out.

use std::path::Path;
use std::process::Command;
use std::thread;

use parlance_core::Clock;
use parlance_devstack::Stack;
use procfs::{CpuInfo, CpuTime, Current, CurrentSI, KernelStats, LoadAverage, Meminfo};
use serde::Serialize;
use sqlx::Connection;

/// The machine, the programs, and the time.
#[derive(Debug, Default, Serialize)]
pub struct Machine {
    /// Each value with its name.
    pub(crate) values: Vec<(&'static str, String)>,
    /// True if the programs were built without optimisation.
    pub(crate) is_debug: bool,
}

impl Machine {
    /// Describes this machine. A load average above a few shows that the figures mean nothing.
    pub(crate) async fn describe(stack: &Stack) -> Self {
        let values = [
            ("date", Some(Clock::system().now().to_string())),
            ("commit", commit()),
            ("processor", processor()),
            ("memory", Meminfo::current().ok().map(|it| format!("{} kB", it.mem_total / 1_024))),
            ("load average before", LoadAverage::current().ok().map(|it| it.one.to_string())),
            ("Linux", output(Command::new("uname").arg("-r"))),
            ("PostgreSQL", postgres_version(stack).await.ok()),
            ("Redis", redis_version()),
        ];
        let values = values.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Self { values: values.collect(), is_debug: cfg!(debug_assertions) }
    }
}

/// The processor time of all cores since the machine was started, in ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cores {
    /// All time, idle time included.
    pub total: u64,
    /// Time in which a core of this virtual machine had work and its host ran something else.
    pub stolen: u64,
}

impl Cores {
    /// Reads `/proc/stat`.
    pub fn now() -> Option<Self> {
        KernelStats::current().ok().map(|stats| Self::from(&stats.total))
    }

    /// Returns the share of the time since an earlier reading that was stolen.
    pub fn stolen_since(self, before: Self) -> f64 {
        let share = |now: u64, before: u64| now.saturating_sub(before) as f64;
        share(self.stolen, before.stolen) / share(self.total, before.total).max(1.0)
    }
}

impl From<&CpuTime> for Cores {
    fn from(time: &CpuTime) -> Self {
        let stolen = time.steal.unwrap_or(0);
        // `user` and `nice` contain the time of guests.
        let busy = time.user + time.nice + time.system;
        let waiting = time.idle + time.iowait.unwrap_or(0);
        let interrupts = time.irq.unwrap_or(0) + time.softirq.unwrap_or(0);
        Self { total: busy + waiting + interrupts + stolen, stolen }
    }
}

fn processor() -> Option<String> {
    let info = CpuInfo::current().ok()?;
    let cores = thread::available_parallelism().ok()?;
    Some(format!("{}, {cores} cores", info.model_name(0)?))
}

/// Returns `7873654f0c1d`, or `7873654f0c1d-dirty` if files have changes.
fn commit() -> Option<String> {
    // Without a repository of its own, the folder may lie in another one.
    let describe = ["describe", "--always", "--exclude=*", "--dirty", "--abbrev=12"];
    Path::new(".git").exists().then(|| output(Command::new("git").args(describe))).flatten()
}

async fn postgres_version(stack: &Stack) -> anyhow::Result<String> {
    let mut connection = stack.postgres().connect("postgres").await?;
    let version = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(version)
}

/// Parses `Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=…`.
fn redis_version() -> Option<String> {
    let line = output(Command::new("redis-server").arg("--version"))?;
    line.split_whitespace().find_map(|word| word.strip_prefix("v=").map(ToOwned::to_owned))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
