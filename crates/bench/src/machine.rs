//! The machine and the programs of a run. Values that cannot be found are left out.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use parlance_core::Clock;
use parlance_devstack::Stack;
use serde::Serialize;
use sqlx::Connection;

/// The machine, the programs, and the time.
#[derive(Debug, Default, Serialize)]
pub struct Machine {
    date: String,
    commit: Option<String>,
    processor: Option<String>,
    cores: usize,
    memory: Option<String>,
    /// The load average of the last minute. Above a few, the figures mean nothing.
    load: Option<String>,
    kernel: Option<String>,
    postgres: Option<String>,
    redis: Option<String>,
    /// True if the programs were built without optimisation.
    pub(crate) is_debug: bool,
}

impl Machine {
    /// Describes this machine.
    pub(crate) async fn describe(stack: &Stack) -> Self {
        Self {
            date: Clock::system().now().to_string(),
            commit: commit(),
            processor: read_value("/proc/cpuinfo", "model name"),
            cores: thread::available_parallelism().map_or(0, usize::from),
            memory: read_value("/proc/meminfo", "MemTotal"),
            load: load(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .ok()
                .map(|text| text.trim().to_owned()),
            postgres: postgres_version(stack).await.ok(),
            redis: redis_version(),
            is_debug: cfg!(debug_assertions),
        }
    }

    /// Returns the values that are known, each with its name.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&'static str, String)> {
        let known = [
            ("date", Some(self.date.clone())),
            ("commit", self.commit.clone()),
            (
                "processor",
                self.processor.clone().map(|name| format!("{name}, {} cores", self.cores)),
            ),
            ("memory", self.memory.clone()),
            ("load average before", self.load.clone()),
            ("Linux", self.kernel.clone()),
            ("PostgreSQL", self.postgres.clone()),
            ("Redis", self.redis.clone()),
        ];
        known.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// The time of all cores since the machine was started, in ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cores {
    all: u64,
    /// Time in which a core of this virtual machine had work and its host ran something else.
    stolen: u64,
}

impl Cores {
    pub(crate) fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// Parses [proc_stat(5)](https://man7.org/linux/man-pages/man5/proc_stat.5.html). The first
    /// eight fields contain the time of guests.
    fn parse(stat: &str) -> Option<Self> {
        let ticks = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
        let ticks: Vec<u64> = ticks.filter_map(|field| field.parse().ok()).collect();
        Some(Self { all: ticks.iter().sum(), stolen: *ticks.get(7)? })
    }

    /// Returns the share of the time since an earlier reading that was stolen.
    pub(crate) fn stolen_since(self, before: Self) -> f64 {
        let share = |now: u64, before: u64| now.saturating_sub(before) as f64;
        share(self.stolen, before.stolen) / share(self.all, before.all).max(1.0)
    }
}

fn commit() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    let commit = output(Command::new("git").args(["rev-parse", "--short=12", "HEAD"]))?;
    let changes =
        output(Command::new("git").args(["status", "--porcelain", "--untracked-files=no"]))?;
    Some(if changes.is_empty() { commit } else { format!("{commit}, with changes") })
}

fn read_value(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn load() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next().map(ToOwned::to_owned)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_a_share_of_the_time_of_all_cores() {
        let at = |stat| Cores::parse(stat).unwrap();
        let before = at("cpu  100 0 50 800 10 0 20 20 7 7\ncpu0 1 2 3\n");
        assert_eq!(before, Cores { all: 1_000, stolen: 20 });
        let now = at("cpu  150 0 60 810 10 0 20 50 9 9\n");
        assert!((now.stolen_since(before) - 0.3).abs() < 1e-9);
        assert_eq!(before.stolen_since(before), 0.0);
        assert_eq!(Cores::parse("cpu  1 2 3\n"), None);
        assert!(Cores::now().is_some_and(|now| now.all > 0));
    }
}
