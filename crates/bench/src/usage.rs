//! What the processes of a stack use, as the kernel counts it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use parlance_devstack::Stack;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

/// Ticks a second in `/proc/<pid>/stat`, the same on every Linux that matters.
const TICKS: u64 = 100;
/// What the process that makes the load is called.
pub(crate) const CLIENTS: &str = "clients";

/// By the name of the part: all replicas of `gateway`, all processes of `postgres`, and so on.
pub(crate) type ByPart<T> = BTreeMap<String, T>;

/// What a part has used, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Usage {
    /// Processor time since the part was started.
    pub(crate) cpu: Duration,
    /// Resident memory, in bytes; what the processes of a part share counts once.
    pub(crate) memory: u64,
}

/// A stretch of time in which things count. Before it everything warms up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

impl Window {
    /// Begins after the warm-up, which begins now.
    pub(crate) fn after(warm_up: Duration, duration: Duration) -> Self {
        let from = Instant::now() + warm_up;
        Self { from, to: from + duration }
    }

    pub(crate) fn contains(&self, instant: Instant) -> bool {
        (self.from..self.to).contains(&instant)
    }

    pub(crate) fn length(&self) -> Duration {
        self.to - self.from
    }

    /// What each part of a stack uses in this time, and holds at its end. Returns at its end.
    pub(crate) async fn watch(&self, stack: &Stack) -> ByPart<Usage> {
        sleep_until(self.from).await;
        let before = of_stack(stack);
        sleep_until(self.to).await;
        since(stack, &before)
    }

    /// The same of a single process, which has this name.
    pub(crate) async fn watch_process(&self, name: &str, id: u32) -> ByPart<Usage> {
        sleep_until(self.from).await;
        let before = of_process(id, false, &all_processes());
        sleep_until(self.to).await;
        let mut usage = of_process(id, false, &all_processes());
        usage.cpu = usage.cpu.saturating_sub(before.cpu);
        ByPart::from([(name.to_owned(), usage)])
    }
}

/// What each part has used since then, and holds now.
pub(crate) fn since(stack: &Stack, before: &ByPart<Usage>) -> ByPart<Usage> {
    let mut after = of_stack(stack);
    for (part, usage) in &mut after {
        usage.cpu =
            usage.cpu.saturating_sub(before.get(part).map_or(Duration::ZERO, |usage| usage.cpu));
    }
    after
}

/// Each part of a stack, and this process as [`CLIENTS`].
pub(crate) fn of_stack(stack: &Stack) -> ByPart<Usage> {
    let mut parts = ByPart::new();
    let all = all_processes();
    let running = stack.processes().filter_map(|process| Some((process.name(), process.id()?)));
    for (name, id) in running.chain([(CLIENTS, std::process::id())]) {
        let part = name.split(' ').next().unwrap_or(name);
        // Each connection of Postgres has a process of its own.
        let usage = of_process(id, part == "postgres", &all);
        let sum: &mut Usage = parts.entry(part.to_owned()).or_default();
        sum.cpu += usage.cpu;
        sum.memory += usage.memory;
    }
    parts
}

/// A process as it stands in `/proc`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Listed {
    id: u32,
    parent: u32,
    /// Its own, and that of its children that have ended.
    ticks: u64,
}

fn all_processes() -> Vec<Listed> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // One that has ended meanwhile is none.
    ids.filter_map(|id: u32| parse_stat(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?))
        .collect()
}

/// The name in the middle may hold anything, brackets included.
fn parse_stat(id: u32, stat: &str) -> Option<Listed> {
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Listed { id, parent: fields.get(1)?.parse().ok()?, ticks })
}

fn of_process(id: u32, with_children: bool, all: &[Listed]) -> Usage {
    let is_part = |process: &&Listed| process.id == id || (with_children && process.parent == id);
    let mut usage = Usage::default();
    let (mut ticks, mut shared, mut files) = (0, 0, 0);
    for process in all.iter().filter(is_part) {
        ticks += process.ticks;
        let status = fs::read_to_string(format!("/proc/{}/status", process.id)).unwrap_or_default();
        usage.memory += bytes_of(&status, "RssAnon:");
        shared = bytes_of(&status, "RssShmem:").max(shared);
        files = bytes_of(&status, "RssFile:").max(files);
    }
    usage.memory += shared + files;
    usage.cpu = Duration::from_millis(ticks * 1_000 / TICKS);
    usage
}

fn bytes_of(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read_behind_the_name() {
        let stat = "42 (a (b) c) S 7 42 42 0 -1 4194304 100 200 0 0 11 22 33 44 20 0 1 0 12345";
        assert_eq!(
            parse_stat(42, stat),
            Some(Listed { id: 42, parent: 7, ticks: 11 + 22 + 33 + 44 })
        );
        assert_eq!(parse_stat(42, "42 (short) S 7"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = of_process(std::process::id(), false, &all_processes());
        assert!(usage.memory > 1 << 20, "{usage:?}");
    }

    #[test]
    fn kilobytes_become_bytes() {
        assert_eq!(bytes_of("VmRSS:\t  9 kB\nRssAnon:\t    3 kB\n", "RssAnon:"), 3_072);
        assert_eq!(bytes_of("", "RssAnon:"), 0);
    }
}
