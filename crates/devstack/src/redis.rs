//! A private Redis: it carries messages between processes and keeps nothing, so it has no data on
//! the disk.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::certificates::CertificateFiles;
use crate::probe::Probe;
use crate::process::{Process, Spec};
use crate::programs;
use crate::secrets::random_secret;
use crate::user::User;

/// What every Redis of Parlance is told, wherever it is.
const SETTINGS: &str = include_str!("../../../deploy/redis/redis.conf");
/// What stands there for the password of messaging.
const PASSWORD: &str = "REDIS_PASSWORD";
/// The user that messaging is. May do what messaging needs and nothing else.
const MESSAGING: &str = "messaging";
/// The user that may do everything. Only a private Redis has one.
const OPERATOR: &str = "operator";
const START_DEADLINE: Duration = Duration::from_secs(30);

/// What the owner of a private Redis decides.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Holds the log.
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    /// Of messaging; made of letters and digits.
    pub(crate) password: String,
    /// A port for connections over TLS, which messaging is to use then, and the certificate to show
    /// there.
    pub(crate) encrypted: Option<(u16, CertificateFiles)>,
}

/// A running private Redis, reachable by name and password over 127.0.0.1 only.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    settings: Settings,
    operator_password: String,
}

impl Redis {
    pub(crate) async fn start(settings: Settings) -> anyhow::Result<Self> {
        let operator_password = random_secret();
        let process = Process::start(server(&settings, &operator_password)?).await?;
        process.wait_until_ready(START_DEADLINE).await?;
        Ok(Self { process, settings, operator_password })
    }

    /// How messaging reaches it, password included.
    pub fn url(&self) -> String {
        self.url_at(self.address())
    }

    /// How one reaches it who may do everything.
    pub fn operator_url(&self) -> String {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.settings.port));
        format!("redis://{OPERATOR}:{}@{address}", self.operator_password)
    }

    /// Where it serves messaging.
    pub(crate) fn address(&self) -> SocketAddr {
        let port = self.settings.encrypted.as_ref().map_or(self.settings.port, |(port, _)| *port);
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// How messaging reaches it at another address.
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
        "user {OPERATOR} on >{operator_password} ~* &* +@all\nbind 127.0.0.1\nport {port}\ndaemonize no\ndir /\n"
    );
    if let Some((port, files)) = encrypted {
        files.give_to_servers()?;
        let (cert, key, ca) = (files.cert.display(), files.key.display(), files.ca.display());
        input += &format!(
            "tls-port {port}\ntls-cert-file {cert}\ntls-key-file {key}\ntls-ca-cert-file {ca}\ntls-auth-clients no\n"
        );
    }
    Ok(Spec {
        arguments: vec!["-".into()],
        user: User::for_servers()?,
        input: input.into_bytes(),
        death_signal: Signal::KILL,
        probe: Probe::Redis { port: *port, user: MESSAGING, password: password.clone() },
        ..Spec::new(
            "redis",
            programs::redis_server()?,
            Path::new("/"),
            folder.join("logs/redis.log"),
        )
    })
}
