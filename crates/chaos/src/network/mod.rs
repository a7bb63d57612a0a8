//! The checker's own TCP proxies: one on every way between two parts of Parlance, and between
//! clients and gateways. Usually they pass on what comes; a fault has them do something else.
//!
//! A gateway finds the home of a room by the addresses of the messaging replicas. When both
//! gateways know a replica by the same proxy, they agree on homes, as they do where there is no
//! proxy; when each has a proxy of its own, they disagree, and whatever is said at one reaches the
//! other only through Redis and the tail.

mod proxy;
mod pump;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use parlance_devstack::Arrow;
use tokio::task::JoinSet;

use self::proxy::Proxy;

/// What a proxy does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Pass,
    /// Everything comes so much later, in order.
    Delay(Duration),
    /// Nothing comes, and nothing is refused.
    Stall,
    /// Connections are reset as soon as they are made.
    Refuse,
    /// A connection ends in the midst of a `PUBLISH` that it carries.
    BreakPublications,
}

/// How a proxy ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// By FIN, as a process does that has finished.
    Close,
    /// By RST, as a machine does that knows of no such connection.
    Reset,
}

/// A way from one process to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) caller: &'static str,
    /// Nothing when all replicas of the caller share the way.
    pub(crate) caller_index: Option<usize>,
    pub(crate) callee: &'static str,
    /// Nothing when there is only one.
    pub(crate) callee_index: Option<usize>,
}

/// All proxies of a run. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Links {
    homes_agree: bool,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    links: Vec<(Route, Proxy)>,
    tasks: JoinSet<()>,
}

/// What calls the gateways.
pub(crate) const CLIENTS: &str = "clients";

impl Links {
    /// No proxy yet. `homes_agree` says whether both gateways know a replica of messaging by the
    /// same address.
    pub(crate) fn new(homes_agree: bool) -> Self {
        Self { homes_agree, open: Mutex::default() }
    }

    /// Puts a proxy on an arrow; the address at which the caller finds it. To be called within a
    /// runtime.
    pub(crate) fn interpose(&self, arrow: &Arrow) -> anyhow::Result<SocketAddr> {
        let route = Route::of(arrow, self.homes_agree);
        let Open { links, tasks } = &mut *self.lock();
        if let Some((_, proxy)) = links.iter().find(|(known, _)| *known == route) {
            return Ok(proxy.address());
        }
        let proxy = Proxy::open(arrow.address, tasks)
            .with_context(|| format!("cannot put a proxy on {route}"))?;
        let address = proxy.address();
        links.push((route, proxy));
        Ok(address)
    }

    /// Has a way do this from now on.
    pub(crate) fn set(&self, route: Route, flow: Flow) -> anyhow::Result<()> {
        self.on(route, |proxy| proxy.set(flow))
    }

    /// Ends all connections of a way; new ones fare as the flow says.
    pub(crate) fn cut(&self, route: Route, ending: Shutdown) -> anyhow::Result<()> {
        self.on(route, |proxy| proxy.cut(ending))
    }

    fn on(&self, route: Route, act: impl FnOnce(&Proxy)) -> anyhow::Result<()> {
        let open = self.lock();
        let found = open.links.iter().find(|(known, _)| *known == route);
        let (_, proxy) = found.with_context(|| format!("there is no proxy on {route}"))?;
        act(proxy);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Route {
    /// The way from a replica to another one, each by its name and number.
    pub(crate) fn between(
        (caller, caller_index): (&'static str, usize),
        (callee, callee_index): (&'static str, usize),
        homes_agree: bool,
    ) -> Self {
        let is_shared =
            caller == CLIENTS || (homes_agree && (caller, callee) == ("gateway", "messaging"));
        let is_single = ["postgres", "redis"].contains(&callee);
        Self {
            caller,
            caller_index: (!is_shared).then_some(caller_index),
            callee,
            callee_index: (!is_single).then_some(callee_index),
        }
    }

    fn of(arrow: &Arrow, homes_agree: bool) -> Self {
        let (caller, callee) =
            ((arrow.caller, arrow.caller_index), (arrow.callee, arrow.callee_index));
        Self::between(caller, callee, homes_agree)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{} → {}{}",
            self.caller,
            Number(self.caller_index),
            self.callee,
            Number(self.callee_index)
        )
    }
}

/// A replica as people count.
struct Number(Option<usize>);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |index| write!(f, " {}", index + 1))
    }
}
