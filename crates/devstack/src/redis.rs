//! A private Redis. It carries messages between processes and stores nothing on the disk.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::certificates::CertificateFiles;
use crate::process::{Process, Spec};
use crate::programs;
use crate::readiness::Readiness;
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
        let operator_password = random_secret();
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
    let Settings { folder, port, password, encrypted } = settings;
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
