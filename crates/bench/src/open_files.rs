//! The limit of open files. Each socket is one, in this process and in the gateway.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files of a process beside its sockets.
const OTHER_FILES: usize = 1_000;

/// Raises the limit of this process and of those that it starts as far as the system allows.
pub(crate) fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If that fails, `ensure_limit` reports it to the scenarios that need more.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Returns an error if a process may not open this many sockets.
pub(crate) fn ensure_limit(sockets: usize) -> anyhow::Result<()> {
    let needed = sockets + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile).current;
    ensure!(
        limit.is_none_or(|limit| limit >= needed as u64),
        "{sockets} sockets need `ulimit -n {needed}` or more"
    );
    Ok(())
}
