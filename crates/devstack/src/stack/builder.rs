//! Stacks for tests.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::parts::GATEWAY;
use super::plan::{Plan, Setting};
use super::wiring::{Arrow, Wiring};
use super::{Stack, database};
use crate::folder::TemporaryFolder;
use crate::port::free_address;
use crate::postgres::Durability;
use crate::secrets::Secrets;

/// Describes a stack for tests: free ports, a temporary folder, one replica of each part, cheap
/// password hashes, and any number of log-ins.
#[derive(Clone, Debug)]
pub struct StackBuilder {
    plan: Plan,
    gateways: usize,
}

impl Stack {
    /// Describes a stack for tests.
    pub fn builder() -> StackBuilder {
        let plan = Plan {
            folder: PathBuf::new(),
            durability: Durability::Volatile,
            secrets: Secrets::random(),
            replicas: 1,
            gateways: Vec::new(),
            // The lowest cost that bcrypt has, and no limit: tests register many users.
            settings: vec![
                Setting::new("auth", "BCRYPT_COST", "4"),
                Setting::new(GATEWAY, "LOG_INS_BURST", "1000000"),
            ],
            wiring: Wiring::default(),
            is_encrypted: false,
        };
        StackBuilder { plan, gateways: 1 }
    }
}

impl StackBuilder {
    /// Sets the number of processes of each service.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.plan.replicas = replicas;
        self
    }

    /// Sets the number of gateways.
    pub fn gateways(mut self, gateways: usize) -> Self {
        self.gateways = gateways;
        self
    }

    /// Has Postgres flush a commit to the disk before it answers. Otherwise a crash of Postgres may
    /// lose the last commits.
    pub fn durable(mut self) -> Self {
        self.plan.durability = Durability::Durable;
        self
    }

    /// Has all processes connect to each other, to Postgres and to Redis over TLS only, with
    /// certificates of the stack's own authority.
    pub fn encrypted(mut self) -> Self {
        self.plan.is_encrypted = true;
        self
    }

    /// Sets an environment variable of all processes of a part (`gateway`, `auth`, …). The last
    /// value wins.
    pub fn environment(mut self, part: &str, name: &str, value: &str) -> Self {
        self.plan.settings.push(Setting::new(part, name, value));
        self
    }

    /// Puts proxies between processes: the function is called once for each arrow and returns the
    /// address that the caller connects to. A restarted process keeps its addresses.
    pub fn wiring(
        mut self,
        wiring: impl Fn(&Arrow) -> anyhow::Result<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        self.plan.wiring = Wiring::new(wiring);
        self
    }

    /// Starts the stack and waits until all of it is ready.
    pub async fn start(self) -> anyhow::Result<Stack> {
        let folder = TemporaryFolder::new()?;
        let gateways: anyhow::Result<_> = (0..self.gateways).map(|_| free_address()).collect();
        let plan = Plan { folder: folder.path().to_owned(), gateways: gateways?, ..self.plan };
        let mut stack = Stack::start(plan, &|_| ()).await?;
        database::count_statements(&stack.postgres).await?;
        stack.temporary = Some(folder);
        Ok(stack)
    }
}
