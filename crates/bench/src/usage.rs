//! Processor time and memory of the processes of a stack, from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use parlance_devstack::Stack;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

/// Ticks a second in `/proc/<pid>/stat` (`USER_HZ`): 100 on all common architectures of Linux.
const TICKS: u64 = 100;
/// The name of this process, which runs the clients.
pub(crate) const CLIENTS: &str = "clients";

/// Values by part: all replicas of `gateway`, all processes of `postgres`, and so on.
pub type ByPart<T> = BTreeMap<String, T>;

/// The resources of a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// The processor time that the part has used.
    pub cpu: Duration,
    /// The resident memory in bytes. What the processes of a part share counts once.
    pub memory: u64,
}

/// The time in which a load is measured. It begins after the warm-up.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

impl Window {
    /// Returns a window that begins after the warm-up, which begins now.
    pub fn after(warm_up: Duration, duration: Duration) -> Self {
        let from = Instant::now() + warm_up;
        Self { from, to: from + duration }
    }

    pub(crate) fn contains(&self, instant: Instant) -> bool {
        (self.from..self.to).contains(&instant)
    }

    pub(crate) fn length(&self) -> Duration {
        self.to - self.from
    }

    /// Returns at the end of the window what each part of a stack used in it.
    pub(crate) async fn watch(&self, stack: &Stack) -> ByPart<Usage> {
        self.watch_with(|| by_part(stack)).await
    }

    /// Returns at the end of the window what one process used in it, under a name.
    pub(crate) async fn watch_process(&self, name: &str, id: u32) -> ByPart<Usage> {
        let usage = || read_usage(id, false, &list_processes());
        self.watch_with(|| ByPart::from([(name.to_owned(), usage())])).await
    }

    async fn watch_with(&self, read: impl Fn() -> ByPart<Usage>) -> ByPart<Usage> {
        sleep_until(self.from).await;
        let before = read();
        sleep_until(self.to).await;
        since(&before, read())
    }
}

/// Returns the processor time between two readings, and the memory of the later one.
pub(crate) fn since(before: &ByPart<Usage>, mut after: ByPart<Usage>) -> ByPart<Usage> {
    for (part, usage) in &mut after {
        let before = before.get(part).map(|usage| usage.cpu).unwrap_or_default();
        usage.cpu = usage.cpu.saturating_sub(before);
    }
    after
}

/// Returns the usage of each part of a stack, and of this process as [`CLIENTS`].
pub(crate) fn by_part(stack: &Stack) -> ByPart<Usage> {
    let mut parts = ByPart::new();
    let all = list_processes();
    let running = stack.processes().filter_map(|process| Some((process.name(), process.id()?)));
    for (name, id) in running.chain([(CLIENTS, std::process::id())]) {
        let part = name.split(' ').next().unwrap_or(name);
        // Postgres has a child process for each connection.
        let usage = read_usage(id, part == "postgres", &all);
        let sum: &mut Usage = parts.entry(part.to_owned()).or_default();
        sum.cpu += usage.cpu;
        sum.memory += usage.memory;
    }
    parts
}

/// A process in `/proc`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ProcessStat {
    id: u32,
    parent: u32,
    /// Its processor time, and that of its children that have ended.
    ticks: u64,
}

fn list_processes() -> Vec<ProcessStat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // The file of a process that has ended in between is missing.
    ids.filter_map(|id: u32| parse_stat(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?))
        .collect()
}

/// Parses [proc_pid_stat(5)](https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html). The name
/// of the process may contain any characters, parentheses included.
fn parse_stat(id: u32, stat: &str) -> Option<ProcessStat> {
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(ProcessStat { id, parent: fields.get(1)?.parse().ok()?, ticks })
}

fn read_usage(id: u32, with_children: bool, all: &[ProcessStat]) -> Usage {
    let is_part =
        |process: &&ProcessStat| process.id == id || (with_children && process.parent == id);
    let (mut ticks, mut anonymous, mut shared, mut files) = (0, 0, 0, 0);
    for process in all.iter().filter(is_part) {
        ticks += process.ticks;
        let status = fs::read_to_string(format!("/proc/{}/status", process.id)).unwrap_or_default();
        anonymous += parse_bytes(&status, "RssAnon:");
        shared = parse_bytes(&status, "RssShmem:").max(shared);
        files = parse_bytes(&status, "RssFile:").max(files);
    }
    let cpu = Duration::from_millis(ticks * 1_000 / TICKS);
    Usage { cpu, memory: anonymous + shared + files }
}

fn parse_bytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_contain_parentheses() {
        let stat = "42 (a (b) c) S 7 42 42 0 -1 4194304 100 200 0 0 11 22 33 44 20 0 1 0 12345";
        let expected = ProcessStat { id: 42, parent: 7, ticks: 11 + 22 + 33 + 44 };
        assert_eq!(parse_stat(42, stat), Some(expected));
        assert_eq!(parse_stat(42, "42 (short) S 7"), None);
    }

    #[test]
    fn this_process_uses_memory() {
        let usage = read_usage(std::process::id(), false, &list_processes());
        assert!(usage.memory > 1 << 20, "{usage:?}");
    }

    #[test]
    fn kibibytes_become_bytes() {
        assert_eq!(parse_bytes("VmRSS:\t  9 kB\nRssAnon:\t    3 kB\n", "RssAnon:"), 3_072);
        assert_eq!(parse_bytes("", "RssAnon:"), 0);
    }
}
