//! Who finds whom where.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// One process that calls another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// The part that calls.
    pub caller: &'static str,
    /// Which of its replicas.
    pub caller_index: usize,
    /// A service, `postgres` or `redis`.
    pub callee: &'static str,
    /// Which of its replicas; there is one Postgres and one Redis.
    pub callee_index: usize,
    /// Where the callee serves.
    pub address: SocketAddr,
}

/// A replica that has to be told whom it calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) part: &'static str,
    pub(super) index: usize,
}

type Hook = dyn Fn(&Arrow) -> anyhow::Result<SocketAddr> + Send + Sync;

/// Where callers are told that those are whom they call: there, unless a test has put itself in
/// between.
#[derive(Clone, Default)]
pub(crate) struct Wiring(Option<Arc<Hook>>);

impl Wiring {
    pub(super) fn new(
        hook: impl Fn(&Arrow) -> anyhow::Result<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub(super) fn address(
        &self,
        caller: Caller,
        callee: &'static str,
        callee_index: usize,
        address: SocketAddr,
    ) -> anyhow::Result<SocketAddr> {
        let Some(hook) = &self.0 else { return Ok(address) };
        hook(&Arrow {
            caller: caller.part,
            caller_index: caller.index,
            callee,
            callee_index,
            address,
        })
    }
}

impl fmt::Debug for Wiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Wiring(a test's)" } else { "Wiring(direct)" })
    }
}
