//! Lets everything else on the machine go before the hashing of passwords, which takes all the processor time that it gets.

use std::fs;

use procfs::process::{Process, Stat};
use rustix::process::nice;

/// Beside a thread that takes all of a core, a hash still gets a tenth of it.
const NICENESS: i32 = 10;
/// Where a kernel that shares the cores out to sessions is told what this one's part is.
const SESSION: &str = "/proc/self/autogroup";

/// Lets all other threads go before the calling one. It lasts as long as the thread does.
pub(crate) fn lower_this_thread() {
    if let Err(error) = nice(NICENESS) {
        tracing::warn!(%error, "hashing competes with everything else for the processor");
    }
}

/// Lets all other sessions go before this process if it has a session of its own. Many kernels share the cores out to sessions first,
/// and what a thread is given then counts only within its session. In a control group, such as a container, those of the
/// group count instead.
pub(crate) fn lower_own_session() {
    if has_own_session()
        && let Err(error) = fs::write(SESSION, NICENESS.to_string())
    {
        tracing::debug!(%error, "the kernel does not share the cores out to sessions");
    }
}

/// Read from `/proc`, as the system call has no process to name where the session began outside of the container.
fn has_own_session() -> bool {
    Process::myself().and_then(|process| process.stat()).is_ok_and(|Stat { pid, session, .. }| session == pid)
}
