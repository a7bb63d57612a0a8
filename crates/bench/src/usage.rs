//! Processor time and memory of the processes of a stack, from `/proc`.

use std::collections::BTreeMap;
use std::time::Duration;

use parlance_devstack::Stack;
use procfs::process::Process;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

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
    /// The first instant of the window.
    pub from: Instant,
    /// The first instant after the window.
    pub to: Instant,
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

    /// Reads the usage at both ends of the window. Returns what was used in it.
    pub(crate) async fn watch(&self, read: impl Fn() -> ByPart<Usage>) -> ByPart<Usage> {
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

/// Returns the usage of one process.
pub fn process(id: u32) -> ByPart<Usage> {
    ByPart::from([("process".to_owned(), read_usage(id, false, &list_processes()))])
}

fn list_processes() -> Vec<Process> {
    // A process that ends in between is left out.
    procfs::process::all_processes().into_iter().flatten().flatten().collect()
}

/// Returns the usage of a process, together with its children if wanted.
fn read_usage(id: u32, with_children: bool, all: &[Process]) -> Usage {
    let id = id.cast_signed();
    let (mut ticks, mut anonymous, mut shared, mut files) = (0, 0, 0, 0);
    for process in all {
        let Ok(stat) = process.stat() else { continue };
        if stat.pid == id || (with_children && stat.ppid == id) {
            let Ok(status) = process.status() else { continue };
            // With the time of its children that have ended.
            ticks += stat.utime + stat.stime + (stat.cutime + stat.cstime).unsigned_abs();
            anonymous += status.rssanon.unwrap_or(0);
            shared = status.rssshmem.unwrap_or(0).max(shared);
            files = status.rssfile.unwrap_or(0).max(files);
        }
    }
    let cpu = Duration::from_millis(ticks * 1_000 / procfs::ticks_per_second());
    Usage { cpu, memory: (anonymous + shared + files) * 1_024 }
}
