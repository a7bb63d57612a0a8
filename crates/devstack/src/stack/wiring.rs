//! The addresses that callers get, which a test can replace by those of a proxy.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A connection from one process to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// The part that calls.
    pub caller: &'static str,
    /// The index of its replica.
    pub caller_index: usize,
    /// A service, `postgres` or `redis`.
    pub callee: &'static str,
    /// The index of its replica; 0 for Postgres and Redis.
    pub callee_index: usize,
    /// The address of the callee.
    pub address: SocketAddr,
}

/// A replica that calls others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) part: &'static str,
    pub(super) index: usize,
}

type Replace = dyn Fn(&Arrow) -> anyhow::Result<SocketAddr> + Send + Sync;

/// Replaces addresses of callees. The default keeps them.
#[derive(Clone, Default)]
pub(crate) struct Wiring(Option<Arc<Replace>>);

impl Wiring {
    pub(super) fn new(
        replace: impl Fn(&Arrow) -> anyhow::Result<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(replace)))
    }

    /// The address at which the caller finds the callee.
    pub(super) fn address(
        &self,
        Caller { part: caller, index: caller_index }: Caller,
        callee: &'static str,
        callee_index: usize,
        address: SocketAddr,
    ) -> anyhow::Result<SocketAddr> {
        let Some(replace) = &self.0 else { return Ok(address) };
        replace(&Arrow { caller, caller_index, callee, callee_index, address })
    }
}

impl fmt::Debug for Wiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wiring").field(&self.0.is_some()).finish()
    }
}
