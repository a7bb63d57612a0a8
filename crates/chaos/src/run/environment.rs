//! A private Parlance with a proxy on each route.

use std::net::SocketAddr;
use std::sync::Arc;

use parlance_devstack::{Arrow, Stack};

use crate::clients::Target;
use crate::network::Proxies;
use crate::topology::{CLIENTS, REPLICAS};

/// A private Parlance, and the proxies between its processes and before its gateways.
#[derive(Debug)]
pub struct Environment {
    /// The processes.
    pub stack: Stack,
    pub(crate) proxies: Arc<Proxies>,
    /// The proxies before the gateways.
    gateways: Vec<SocketAddr>,
}

impl Environment {
    /// Starts two replicas of each program, and a Postgres that syncs to disk. `owners_agree` is
    /// true if the gateways agree on the owner replicas of rooms.
    pub async fn start(owners_agree: bool) -> anyhow::Result<Self> {
        let proxies = Arc::new(Proxies::new(owners_agree));
        let interposed = proxies.clone();
        let builder = Stack::builder().replicas(REPLICAS).gateways(REPLICAS).durable();
        let stack = builder.wiring(move |arrow| interposed.interpose(arrow)).start().await?;
        let (caller, callee) = (CLIENTS, "gateway");
        let before_gateway = |callee_index| {
            let address = stack.address(callee, callee_index);
            proxies.interpose(&Arrow { caller, caller_index: 0, callee, callee_index, address })
        };
        let gateways = (0..REPLICAS).map(before_gateway).collect::<anyhow::Result<_>>()?;
        Ok(Self { stack, proxies, gateways })
    }

    /// All gateways.
    pub fn target(&self) -> Target {
        Target::new(&self.gateways)
    }

    /// One gateway.
    pub(crate) fn target_at(&self, gateway: usize) -> Target {
        Target::new(&self.gateways[gateway..=gateway])
    }
}
