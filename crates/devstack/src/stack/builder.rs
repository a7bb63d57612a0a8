//! Stacks for tests.

use std::net::SocketAddr;

use super::parts::Endpoint;
use super::wiring::{Arrow, Wiring};
use super::{Plan, Setting, Stack, database};
use crate::folder::TemporaryFolder;
use crate::postgres::Durability;
use crate::secrets::Secrets;

/// Describes a stack for tests: on free ports, in a temporary folder, with one replica of
/// everything and cheap passwords unless told otherwise.
#[derive(Clone, Debug)]
pub struct StackBuilder {
    replicas: usize,
    gateways: usize,
    durability: Durability,
    settings: Vec<Setting>,
    wiring: Wiring,
    is_encrypted: bool,
}

impl StackBuilder {
    pub(super) fn new() -> Self {
        // The lowest cost that bcrypt knows: tests register many users.
        let cheap_passwords = Setting::new("auth", "BCRYPT_COST", "4");
        Self {
            replicas: 1,
            gateways: 1,
            durability: Durability::Fleeting,
            settings: vec![cheap_passwords],
            wiring: Wiring::default(),
            is_encrypted: false,
        }
    }

    /// How many processes of each service there are.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// How many gateways there are.
    pub fn gateways(mut self, gateways: usize) -> Self {
        self.gateways = gateways;
        self
    }

    /// Has Postgres write a commit to the disk before it answers. Without this what was committed
    /// last may be gone when it crashes.
    pub fn durable(mut self) -> Self {
        self.durability = Durability::Durable;
        self
    }

    /// Has the processes connect to each other, to Postgres and to Redis over TLS only, with
    /// certificates of the stack's own.
    pub fn encrypted(mut self) -> Self {
        self.is_encrypted = true;
        self
    }

    /// Gives all processes of a part (`gateway`, `auth`, …) an environment variable; a later one
    /// wins.
    pub fn environment(mut self, part: &str, name: &str, value: &str) -> Self {
        self.settings.push(Setting::new(part, name, value));
        self
    }

    /// Lets a test put itself between two processes: called once for each arrow, it returns the
    /// address at which the caller is to look for the callee. Every process keeps what it was told
    /// when it is started again.
    pub fn wiring(
        mut self,
        wiring: impl Fn(&Arrow) -> anyhow::Result<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        self.wiring = Wiring::new(wiring);
        self
    }

    /// Starts all of it and returns when all of it is ready.
    pub async fn start(self) -> anyhow::Result<Stack> {
        let folder = TemporaryFolder::new()?;
        let gateways: anyhow::Result<_> =
            (0..self.gateways).map(|_| Ok(Endpoint::free()?.address)).collect();
        let plan = Plan {
            folder: folder.path().to_owned(),
            durability: self.durability,
            secrets: Secrets::random(),
            replicas: self.replicas,
            gateways: gateways?,
            settings: self.settings,
            wiring: self.wiring,
            is_encrypted: self.is_encrypted,
        };
        let mut stack = Stack::start(plan, &|_| ()).await?;
        database::count_statements(&stack.postgres).await?;
        stack.temporary = Some(folder);
        Ok(stack)
    }
}
