//! The limit of open files of this process. Each TCP connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The open files of a gateway beside the connections of its clients: the connections to services,
/// listeners, certificates, standard streams.
const OTHER_FILES: u32 = 256;

/// Raises the soft limit to the hard one. Containers often begin with a soft limit of 1,024, which
/// is for programs that use `select`.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(error = %error, "limit of open files cannot be raised; keeping it");
            current
        }
    }
}

/// Returns how many of these connections the process can have open, and logs it.
pub(super) fn bound(connections: u32) -> u32 {
    let open_files = raise();
    let possible = possible_connections(open_files);
    let max = connections.min(possible);
    if max < connections {
        tracing::warn!(
            connections = max,
            open_files,
            "limit of open files is too low for MAX_TCP_CONNECTIONS; serving fewer connections"
        );
    } else {
        tracing::info!(connections = max, open_files, "ready for this many TCP connections");
    }
    max
}

/// Returns the connections that this limit of open files leaves room for.
fn possible_connections(open_files: Option<u64>) -> u32 {
    let Some(open_files) = open_files else { return u32::MAX };
    let open_files = u32::try_from(open_files).unwrap_or(u32::MAX);
    // Under a very low limit, clients and everything else share it.
    open_files.saturating_sub(OTHER_FILES).max(open_files / 2)
}

#[cfg(test)]
#[path = "tests/open_files.rs"]
mod tests;
