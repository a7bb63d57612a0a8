//! How many files a process may have open: each socket is one, here and in the gateway.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process has open beside the sockets that are counted.
const OTHERS: usize = 1_000;

/// Allows this process, and those it starts, as many as the system lets it.
pub(crate) fn allow_most() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // What is not allowed now is told by who needs it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// An error if a process may not have so many sockets.
pub(crate) fn ensure_allowed(sockets: usize) -> anyhow::Result<()> {
    let wanted = sockets + OTHERS;
    let allowed = getrlimit(Resource::Nofile).current;
    ensure!(
        allowed.is_none_or(|allowed| allowed >= wanted as u64),
        "{sockets} sockets need `ulimit -n {wanted}` or more, before this is started"
    );
    Ok(())
}
