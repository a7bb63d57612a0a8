//! All proxies of a run, by route.
//!
//! A gateway picks the owner replica of a room by the addresses of the messaging replicas. If both
//! gateways know a replica by the same proxy, they agree on owner replicas, as they do without
//! proxies. If each gateway has a proxy of its own, they disagree, and events cross from one
//! gateway to the other only through Redis and the log poller.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use parlance_devstack::Arrow;
use tokio::task::JoinSet;

use super::flow::{CloseKind, Flow};
use super::proxy::Proxy;
use crate::topology::Route;

/// The proxies. Dropping this ends all of them.
#[derive(Debug)]
pub struct Proxies {
    owners_agree: bool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_route: Vec<(Route, Proxy)>,
    tasks: JoinSet<()>,
}

impl Proxies {
    /// Without any proxy yet. `owners_agree` is true if both gateways know a replica of messaging
    /// by the same address.
    pub fn new(owners_agree: bool) -> Self {
        Self { owners_agree, inner: Mutex::default() }
    }

    /// Opens a proxy on the route of an arrow, unless there is one, and returns its address. Must
    /// be called within a Tokio runtime.
    pub fn interpose(&self, arrow: &Arrow) -> anyhow::Result<SocketAddr> {
        let route = Route::from_arrow(arrow, self.owners_agree);
        let Inner { by_route, tasks } = &mut *self.lock();
        if let Some((_, proxy)) = by_route.iter().find(|(known, _)| *known == route) {
            return Ok(proxy.address());
        }
        let proxy = Proxy::open(arrow.address, tasks)
            .with_context(|| format!("cannot open a proxy for {route}"))?;
        let address = proxy.address();
        by_route.push((route, proxy));
        Ok(address)
    }

    /// Sets the flow of a route, for open and for new connections.
    pub fn set_flow(&self, route: Route, flow: Flow) -> anyhow::Result<()> {
        self.with_proxy(route, |proxy| proxy.set_flow(flow))
    }

    /// Ends all open connections of a route. New ones obey the flow.
    pub fn cut(&self, route: Route, close: CloseKind) -> anyhow::Result<()> {
        self.with_proxy(route, |proxy| proxy.cut(close))
    }

    fn with_proxy(&self, route: Route, call: impl FnOnce(&Proxy)) -> anyhow::Result<()> {
        let inner = self.lock();
        let found = inner.by_route.iter().find(|(known, _)| *known == route);
        found
            .map(|(_, proxy)| call(proxy))
            .with_context(|| format!("there is no proxy for {route}"))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
