//! A private Redis. It carries messages between processes and stores nothing on the disk.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use rustix::process::Signal;

use crate::certificates::CertificateFiles;
use crate::process::{Process, Spec};
use crate::programs;
use crate::readiness::{Readiness, exchange};
use crate::secrets::random_secret;
use crate::user::User;

/// The configuration that all deployments share.
const SETTINGS: &str = include_str!("../../../deploy/redis/redis.conf");
/// The placeholder of the password of messaging in it.
const PASSWORD: &str = "REDIS_PASSWORD";
/// The user of messaging. It has only the permissions that messaging needs.
const MESSAGING: &str = "messaging";
/// The user with all permissions. Only a private Redis has one.
const OPERATOR: &str = "operator";
const START_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;

/// Describes a private Redis.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The parent of the log.
    pub folder: PathBuf,
    /// The port without TLS.
    pub port: u16,
    /// The password of messaging: letters and digits.
    pub password: String,
    /// A port with TLS, which messaging then uses, and the certificate of the server.
    pub encrypted: Option<(u16, CertificateFiles)>,
    /// Alone, or part of a group.
    pub role: Role,
}

/// The part of a server in a group of them.
#[derive(Clone, Debug)]
pub enum Role {
    /// The only server.
    Alone,
    /// A node of a cluster, with the port of the cluster's own connections.
    ClusterNode(u16),
    /// A replica of the server at this port, which has this password of the operator.
    Replica(u16, String),
}

/// A running private Redis, reachable with a user name and a password over 127.0.0.1.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    settings: Settings,
    operator_password: String,
}

impl Redis {
    /// Starts a server and waits until it answers.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let operator_password = match &settings.role {
            Role::Replica(_, password) => password.clone(),
            Role::Alone | Role::ClusterNode(_) => random_secret(),
        };
        let process = Process::start(server(&settings, &operator_password)?).await?;
        process.wait_until_ready(START_TIMEOUT).await?;
        Ok(Self { process, settings, operator_password })
    }

    /// The URL for messaging, password included.
    pub fn url(&self) -> String {
        self.url_at(self.address())
    }

    /// The URL for the user with all permissions, password included.
    pub fn operator_url(&self) -> String {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.settings.port));
        format!("redis://{OPERATOR}:{}@{address}", self.operator_password)
    }

    /// The role of a server that replicates this one.
    pub fn replica(&self) -> Role {
        Role::Replica(self.settings.port, self.operator_password.clone())
    }

    /// The port without TLS.
    pub fn port(&self) -> u16 {
        self.settings.port
    }

    /// Runs commands as the user with all permissions, and returns the answers as Redis sends them.
    pub async fn operate(&self, commands: &str) -> anyhow::Result<String> {
        let login = format!("AUTH {OPERATOR} {}", self.operator_password);
        let request = format!("{login}\r\n{commands}\r\nQUIT\r\n");
        let answers = exchange(self.settings.port, &request, MAX_ANSWER_BYTES).await?;
        let answers = answers.strip_prefix("+OK\r\n").unwrap_or(&answers);
        ensure!(!answers.starts_with('-'), "Redis answered: {}", answers.trim());
        Ok(answers.to_owned())
    }

    /// The address that messaging connects to.
    pub(crate) fn address(&self) -> SocketAddr {
        let port = self.settings.encrypted.as_ref().map_or(self.settings.port, |(port, _)| *port);
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// The URL for messaging with another address.
    pub(crate) fn url_at(&self, address: SocketAddr) -> String {
        let scheme = if self.settings.encrypted.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{MESSAGING}:{}@{address}", self.settings.password)
    }

    /// The server's process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

fn server(settings: &Settings, operator_password: &str) -> anyhow::Result<Spec> {
    let Settings { folder, port, password, encrypted, role } = settings;
    let mut input = SETTINGS.replace(PASSWORD, password);
    input += &format!(
        "user {OPERATOR} on >{operator_password} ~* &* +@all\n\
         bind 127.0.0.1\nport {port}\ndaemonize no\ndir /\n"
    );
    if let Some((port, files)) = encrypted {
        files.give_to_servers()?;
        let (cert, key, ca) = (files.cert.display(), files.key.display(), files.ca.display());
        input += &format!(
            "tls-port {port}\ntls-cert-file {cert}\ntls-key-file {key}\n\
             tls-ca-cert-file {ca}\ntls-auth-clients no\n"
        );
    }
    input += &role_settings(role, folder, *port)?;
    Ok(Spec {
        arguments: vec!["-".into()],
        user: User::for_servers()?,
        input: input.into_bytes(),
        death_signal: Signal::KILL,
        readiness: Readiness::Redis { port: *port, user: MESSAGING, password: password.clone() },
        ..Spec::new(
            "redis",
            programs::find_in_package("redis-server", "redis-server")?,
            Path::new("/"),
            folder.join("logs/redis.log"),
        )
    })
}

fn role_settings(role: &Role, folder: &Path, port: u16) -> anyhow::Result<String> {
    Ok(match role {
        Role::Alone => String::new(),
        Role::ClusterNode(cluster_port) => {
            let folder = make_folder(folder, &format!("redis-{port}"))?.display().to_string();
            format!("cluster-enabled yes\ncluster-port {cluster_port}\ndir {folder}\n")
        }
        Role::Replica(primary, password) => {
            format!("replicaof 127.0.0.1 {primary}\nmasteruser {OPERATOR}\nmasterauth {password}\n")
        }
    })
}

/// Makes a folder that the server may write to.
fn make_folder(parent: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = parent.join(name);
    fs::create_dir_all(&folder)?;
    if let Some(user) = User::for_servers()? {
        user.give(&folder)?;
    }
    Ok(folder)
}

/// A running Redis Sentinel, which watches one server and its replicas.
#[derive(Debug)]
pub struct Sentinel {
    _process: Process,
    port: u16,
}

impl Sentinel {
    /// The name of the watched servers.
    const SERVICE: &str = "parlance";

    /// Starts a sentinel that needs no other to decide on a failover.
    pub async fn start(primary: &Redis, folder: &Path, port: u16) -> anyhow::Result<Self> {
        let (service, primary_port) = (Self::SERVICE, primary.settings.port);
        let folder = make_folder(folder, &format!("sentinel-{port}"))?;
        let settings = folder.join("sentinel.conf");
        let password = &primary.operator_password;
        let lines = [
            format!("bind 127.0.0.1\nport {port}\ndir {}", folder.display()),
            format!("sentinel monitor {service} 127.0.0.1 {primary_port} 1"),
            format!("sentinel auth-user {service} {OPERATOR}"),
            format!("sentinel auth-pass {service} {password}"),
            format!("sentinel down-after-milliseconds {service} 1000"),
            format!("sentinel failover-timeout {service} 5000\n"),
        ];
        fs::write(&settings, lines.join("\n"))?;
        let user = User::for_servers()?;
        if let Some(user) = &user {
            user.give(&settings)?;
        }
        let process = Process::start(Spec {
            arguments: vec![settings.into(), "--sentinel".into()],
            user,
            death_signal: Signal::KILL,
            // Its default user has no password, so it takes any.
            readiness: Readiness::Redis { port, user: "default", password: "any".to_owned() },
            ..Spec::new(
                "sentinel",
                programs::find_in_package("redis-server", "redis-server")?,
                Path::new("/"),
                folder.join("sentinel.log"),
            )
        })
        .await?;
        process.wait_until_ready(START_TIMEOUT).await?;
        Ok(Self { _process: process, port })
    }

    /// The URL for messaging, password included.
    pub fn url(&self, primary: &Redis) -> String {
        let password = &primary.settings.password;
        let (port, service) = (self.port, Self::SERVICE);
        format!(
            "redis-sentinel://{MESSAGING}:{password}@127.0.0.1:{port}?sentinelServiceName={service}"
        )
    }
}
