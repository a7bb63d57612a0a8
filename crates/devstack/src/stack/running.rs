//! A running stack.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::encryption::Encryption;
use super::parts::{DATABASE, Endpoint, GATEWAY, STOP_ORDER};
use crate::certificates::CertificateFiles;
use crate::folder::TemporaryFolder;
use crate::postgres::Postgres;
use crate::process::Process;
use crate::secrets::Secrets;
use crate::{Redis, readiness};

/// Longer than any part takes to drain.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A running Parlance. Dropping it ends all processes at once; so does the end of the parent
/// process.
///
/// A part has the name of its program (`gateway`, `auth`, `contacts`, `rooms`, `messaging`).
/// Replicas are counted from 0.
#[derive(Debug)]
pub struct Stack {
    // Dropped from top to bottom: callers before callees, and the folder last.
    pub(super) parts: Vec<(&'static str, Vec<Replica>)>,
    pub(super) redis: Redis,
    pub(super) postgres: Postgres,
    pub(super) secrets: Secrets,
    pub(super) encryption: Option<Encryption>,
    pub(super) folder: PathBuf,
    pub(super) temporary: Option<TemporaryFolder>,
}

/// One process of a part.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) process: Process,
    pub(super) endpoint: Endpoint,
}

impl Stack {
    /// The URL of a gateway: `http://127.0.0.1:12345`.
    pub fn gateway_url(&self, index: usize) -> String {
        format!("http://{}", self.address(GATEWAY, index))
    }

    /// The process of a replica, to be paused, killed and restarted.
    ///
    /// # Panics
    /// If there is no such replica.
    pub fn process(&self, part: &str, index: usize) -> &Process {
        &self.replica(part, index).process
    }

    /// The address at which a replica serves gRPC, or a gateway the public API.
    ///
    /// # Panics
    /// If there is no such replica.
    pub fn address(&self, part: &str, index: usize) -> SocketAddr {
        self.replica(part, index).endpoint.address
    }

    /// The address of the admin port of a replica.
    ///
    /// # Panics
    /// If there is no such replica.
    pub fn admin_address(&self, part: &str, index: usize) -> SocketAddr {
        self.replica(part, index).endpoint.admin
    }

    /// The metrics of a replica in the Prometheus text format.
    pub async fn metrics(&self, part: &str, index: usize) -> anyhow::Result<String> {
        readiness::http_get(self.admin_address(part, index).port(), "/metrics").await
    }

    /// True if a replica answers on `/livez`, ready or not.
    pub async fn is_alive(&self, part: &str, index: usize) -> bool {
        readiness::http_get(self.admin_address(part, index).port(), "/livez").await.is_ok()
    }

    /// The Postgres that all services share. `pg_stat_statements` counts its statements if the
    /// system has that module.
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// The URL of Parlance's database for the superuser.
    pub fn database_url(&self) -> String {
        self.postgres.url(DATABASE)
    }

    /// The URL of Parlance's database for the role of a service.
    pub fn role_url(&self, service: &str) -> anyhow::Result<String> {
        let password = self.secrets.role_password(service)?;
        Ok(Postgres::url_at(self.postgres.address(), service, password, DATABASE))
    }

    /// The certificate of a part of an encrypted stack.
    pub fn certificate(&self, part: &str) -> anyhow::Result<CertificateFiles> {
        Ok(self.encryption()?.files(part))
    }

    /// Replaces the certificate of a part of an encrypted stack.
    pub fn renew_certificate(&self, part: &str) -> anyhow::Result<()> {
        self.encryption()?.issue(part).map(drop)
    }

    fn encryption(&self) -> anyhow::Result<&Encryption> {
        self.encryption.as_ref().context("this stack is not encrypted")
    }

    /// The Redis that connects the replicas of messaging.
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// The folder with all data. The logs of all processes are in its folder `logs`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All processes of the stack.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        let parts = self.replicas().map(|replica| &replica.process);
        parts.chain([self.redis.process(), self.postgres.process()])
    }

    /// Copies the logs of all processes into a folder that outlives the stack.
    pub fn keep_logs(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for process in self.processes() {
            if let Some(name) = process.log().file_name() {
                fs::copy(process.log(), folder.join(name)).context("cannot copy a log")?;
            }
        }
        Ok(())
    }

    /// A line for each process with its name and its address, passwords included.
    pub(crate) fn addresses(&self) -> String {
        let line = |Replica { process, endpoint: Endpoint { address, admin } }: &Replica| {
            format!("{:<12} {:<16} admin http://{admin}\n", process.name(), address.to_string())
        };
        let postgres = format!("{:<12} {}\n", "postgres", self.database_url());
        let redis = format!("{:<12} {}\n", "redis", self.redis.operator_url());
        self.replicas().map(line).chain([postgres, redis]).collect()
    }

    /// Stops all processes in order: gateways first, Postgres last. Each group drains before the
    /// next one is stopped.
    pub async fn stop(&self) -> anyhow::Result<()> {
        for group in STOP_ORDER {
            let parts = self.parts.iter().filter(|(part, _)| group.contains(part));
            let processes = parts.flat_map(|(_, replicas)| replicas).map(|it| &it.process);
            stop(processes.collect()).await?;
        }
        stop(vec![self.redis.process()]).await?;
        self.postgres.stop().await
    }

    fn replicas(&self) -> impl Iterator<Item = &Replica> {
        self.parts.iter().flat_map(|(_, replicas)| replicas)
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

async fn stop(processes: Vec<&Process>) -> anyhow::Result<()> {
    for process in &processes {
        process.terminate_if_running();
    }
    for process in processes {
        process.wait_or_kill(DRAIN_TIMEOUT).await?;
    }
    Ok(())
}
