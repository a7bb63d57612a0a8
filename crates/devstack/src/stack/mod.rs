//! All of Parlance as real processes: a private Postgres, a private Redis, and any number of
//! replicas of each part.

mod builder;
mod database;
mod encryption;
mod parts;
mod start;
mod wiring;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::certificates::CertificateFiles;
use crate::folder::TemporaryFolder;
use crate::postgres::{Durability, Postgres};
use crate::process::Process;
use crate::secrets::Secrets;
use crate::{Redis, probe};

pub use builder::StackBuilder;
use encryption::Encryption;
use parts::{Endpoint, STOPPING_ORDER};
pub(crate) use parts::{GATEWAY, SERVICES, folder_of_programs};
pub use wiring::Arrow;
pub(crate) use wiring::Wiring;

/// The database that all services share.
const DATABASE: &str = "parlance";
/// More than any part is told to take for draining.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

/// A running Parlance. Dropping it ends all of it at once; so does the end of the process that
/// started it.
///
/// A part is named as its program is (`gateway`, `auth`, `contacts`, `rooms`, `messaging`), its
/// replicas are counted from 0.
#[derive(Debug)]
pub struct Stack {
    // Dropped from top to bottom: who calls goes before who is called, and the folder last.
    parts: Vec<(&'static str, Vec<Replica>)>,
    redis: Redis,
    postgres: Postgres,
    secrets: Secrets,
    encryption: Option<Encryption>,
    folder: PathBuf,
    temporary: Option<TemporaryFolder>,
}

/// What is to be started, and where.
pub(crate) struct Plan {
    /// For data and logs.
    pub(crate) folder: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) secrets: Secrets,
    /// How many processes of each service.
    pub(crate) replicas: usize,
    /// Where each gateway serves the public.
    pub(crate) gateways: Vec<SocketAddr>,
    /// Beyond what this crate sets itself; these win.
    pub(crate) settings: Vec<Setting>,
    /// Where callers are told that those are whom they call.
    pub(crate) wiring: Wiring,
    /// Whether all connections between the processes use TLS.
    pub(crate) is_encrypted: bool,
}

/// An environment variable for all processes of a part.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    part: String,
    name: String,
    value: String,
}

/// One process of a part.
#[derive(Debug)]
struct Replica {
    process: Process,
    endpoint: Endpoint,
}

impl Stack {
    /// Describes a stack for tests.
    pub fn builder() -> StackBuilder {
        StackBuilder::new()
    }

    /// Where a gateway serves the public API: `http://127.0.0.1:12345`.
    pub fn gateway_url(&self, index: usize) -> String {
        format!("http://{}", self.replica(GATEWAY, index).endpoint.address)
    }

    /// A replica's process, to be paused, killed and started again.
    ///
    /// # Panics
    /// If there is no such replica.
    pub fn process(&self, part: &str, index: usize) -> &Process {
        &self.replica(part, index).process
    }

    /// Where a service's replica serves gRPC.
    ///
    /// # Panics
    /// If there is no such replica.
    pub fn address(&self, part: &str, index: usize) -> SocketAddr {
        self.replica(part, index).endpoint.address
    }

    /// Where a replica serves its admin port.
    ///
    /// # Panics
    /// If there is no such replica.
    pub fn admin_address(&self, part: &str, index: usize) -> SocketAddr {
        self.replica(part, index).endpoint.admin
    }

    /// The metrics of a replica in the Prometheus text format.
    pub async fn metrics(&self, part: &str, index: usize) -> anyhow::Result<String> {
        probe::get(self.replica(part, index).endpoint.admin.port(), "/metrics").await
    }

    /// Whether a replica says that it is alive, ready or not.
    pub async fn is_alive(&self, part: &str, index: usize) -> bool {
        probe::get(self.replica(part, index).endpoint.admin.port(), "/livez").await.is_ok()
    }

    /// The Postgres that all services share. If the system has the module, `pg_stat_statements`
    /// counts its statements.
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// The URL of Parlance's database for the superuser.
    pub fn database_url(&self) -> String {
        self.postgres.url(DATABASE)
    }

    /// The URL of Parlance's database for the role of a service, as the service has it.
    pub fn role_url(&self, service: &str) -> anyhow::Result<String> {
        let password = self.secrets.of_role(service)?;
        Ok(Postgres::url_at(self.postgres.address(), service, password, DATABASE))
    }

    /// The certificate of a part of an encrypted stack.
    pub fn certificate_of(&self, part: &str) -> anyhow::Result<CertificateFiles> {
        Ok(self.encryption()?.files_of(part))
    }

    /// Gives a part of an encrypted stack a new certificate, in place of its old one.
    pub fn renew_certificate_of(&self, part: &str) -> anyhow::Result<()> {
        self.encryption()?.issue(part).map(drop)
    }

    fn encryption(&self) -> anyhow::Result<&Encryption> {
        self.encryption.as_ref().context("this stack is not encrypted")
    }

    /// The Redis that connects the replicas of messaging.
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// The folder with all data; the logs of all processes are in `logs`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every process of the stack.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        let parts =
            self.parts.iter().flat_map(|(_, replicas)| replicas).map(|replica| &replica.process);
        parts.chain([self.redis.process(), self.postgres.process()])
    }

    /// Copies the logs of all processes into a folder, where they outlive the stack.
    pub fn keep_logs(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for process in self.processes() {
            if let Some(name) = process.log().file_name() {
                fs::copy(process.log(), folder.join(name)).context("cannot keep a log")?;
            }
        }
        Ok(())
    }

    /// A line for every process: its name and where it can be reached. Passwords are in them.
    pub(crate) fn addresses(&self) -> String {
        let parts = self.parts.iter().flat_map(|(_, replicas)| replicas).map(
            |Replica { process, endpoint }| {
                format!(
                    "{:<12} {:<16} admin http://{}\n",
                    process.name(),
                    endpoint.address.to_string(),
                    endpoint.admin
                )
            },
        );
        parts
            .chain([format!("{:<12} {}\n", "postgres", self.database_url())])
            .chain([format!("{:<12} {}\n", "redis", self.redis.operator_url())])
            .collect()
    }

    /// Ends everything in order: gateways first, Postgres last, each after it has finished what it
    /// had begun.
    pub async fn stop(&self) -> anyhow::Result<()> {
        for group in STOPPING_ORDER {
            let is_in_group = |part: &&(&'static str, Vec<Replica>)| group.contains(&part.0);
            let replicas: Vec<&Replica> =
                self.parts.iter().filter(is_in_group).flat_map(|(_, replicas)| replicas).collect();
            for replica in &replicas {
                replica.process.terminate_if_running();
            }
            for replica in &replicas {
                replica.process.wait_or_kill(DRAIN_DEADLINE).await?;
            }
        }
        self.redis.process().terminate_if_running();
        self.redis.process().wait_or_kill(DRAIN_DEADLINE).await?;
        self.postgres.stop().await
    }

    fn replica(&self, part: &str, index: usize) -> &Replica {
        let replicas =
            self.parts.iter().find(|(name, _)| *name == part).map(|(_, replicas)| replicas);
        #[expect(clippy::panic, reason = "a mistake of the test, as an index out of bounds is")]
        match replicas.and_then(|replicas| replicas.get(index)) {
            Some(replica) => replica,
            None => panic!("this stack has no {part} {index}"),
        }
    }
}

impl Setting {
    pub(crate) fn new(part: &str, name: &str, value: &str) -> Self {
        Self { part: part.to_owned(), name: name.to_owned(), value: value.to_owned() }
    }
}
