//! Lets everything else on the machine go before the hashing of passwords, which takes all the
//! processor time that it gets.

use std::time::Duration;
use std::{fs, io};

use procfs::process::{Process, Stat};
use rustix::process::nice;

/// Beside a thread that takes all of a core, a hash still gets a tenth of it.
const NICENESS: i32 = 10;
/// How long a hashing thread wants a core for at a time. A thread that wakes up takes the core at
/// once from one that wants it for longer, but otherwise leaves it to that one for a millisecond or
/// so, on each of the many hops of a message. Others want it for 0.7 to 2.8 ms. Linux before 6.12
/// does not ask. <https://docs.kernel.org/scheduler/sched-eevdf.html>
const SLICE: Duration = Duration::from_millis(5);
/// Where a kernel that shares the cores out to sessions is told what this one's part is.
const SESSION: &str = "/proc/self/autogroup";

/// Lets all other threads go before the calling one. It lasts as long as the thread does.
pub(crate) fn lower_this_thread() {
    match nice(NICENESS) {
        Err(error) => {
            tracing::warn!(%error, "hashing competes with everything else for the processor")
        }
        Ok(niceness) => {
            if let Err(error) = set_slice(niceness, SLICE) {
                tracing::debug!(%error, "hashing takes turns as long as those of everything else");
            }
        }
    }
}

/// Lets all other sessions go before this process if it has a session of its own. Many kernels
/// share the cores out to sessions first, and what a thread is given then counts only within its
/// session. In a control group, such as a container, those of the group count instead.
pub(crate) fn lower_own_session() {
    if has_own_session()
        && let Err(error) = fs::write(SESSION, NICENESS.to_string())
    {
        tracing::debug!(%error, "the kernel does not share the cores out to sessions");
    }
}

/// Sets the slice of the calling thread. The system call sets the niceness, too: the present one is
/// to be given.
#[expect(unsafe_code, reason = "no crate offers this system call in a safe way")]
fn set_slice(niceness: i32, slice: Duration) -> io::Result<()> {
    const CALLING_THREAD: libc::pid_t = 0;
    const NO_FLAGS: libc::c_uint = 0;
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: niceness,
        sched_priority: 0,
        sched_runtime: slice.as_nanos() as u64,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads `attributes`, as many bytes as its field `size` says, and nothing
    // after the call.
    let result = unsafe {
        libc::syscall(libc::SYS_sched_setattr, CALLING_THREAD, &raw const attributes, NO_FLAGS)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Read from `/proc`, as the system call has no process to name where the session began outside of
/// the container.
fn has_own_session() -> bool {
    Process::myself()
        .and_then(|process| process.stat())
        .is_ok_and(|Stat { pid, session, .. }| session == pid)
}
