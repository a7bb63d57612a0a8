//! A private Redis: it carries messages between processes and keeps nothing, so it has no data on the disk.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

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

/// A running private Redis, reachable by name and password over 127.0.0.1 only.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    address: SocketAddr,
    password: String,
    operator_password: String,
}

impl Redis {
    /// Starts it; its log goes into the folder. The password, which is messaging's, is made of letters and digits.
    pub(crate) async fn start(folder: &Path, port: u16, password: &str) -> anyhow::Result<Self> {
        let operator_password = random_secret();
        let process = Process::start(server(folder, port, password, &operator_password)?).await?;
        process.wait_until_ready(START_DEADLINE).await?;
        let address = (Ipv4Addr::LOCALHOST, port).into();
        Ok(Self { process, address, password: password.to_owned(), operator_password })
    }

    /// How messaging reaches it, password included.
    pub fn url(&self) -> String {
        self.url_at(self.address)
    }

    /// How one reaches it who may do everything.
    pub fn operator_url(&self) -> String {
        url(OPERATOR, &self.operator_password, self.address)
    }

    /// Where it serves.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How messaging reaches it at another address.
    pub(crate) fn url_at(&self, address: SocketAddr) -> String {
        url(MESSAGING, &self.password, address)
    }

    /// The server's process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

fn url(user: &str, password: &str, address: SocketAddr) -> String {
    format!("redis://{user}:{password}@{address}")
}

fn server(folder: &Path, port: u16, password: &str, operator_password: &str) -> anyhow::Result<Spec> {
    let settings = format!(
        "{}\nuser {OPERATOR} on >{operator_password} ~* &* +@all\nbind 127.0.0.1\nport {port}\ndaemonize no\ndir /\n",
        SETTINGS.replace(PASSWORD, password)
    );
    Ok(Spec {
        arguments: vec!["-".into()],
        user: User::for_servers()?,
        input: settings.into_bytes(),
        death_signal: Signal::KILL,
        probe: Probe::Redis { port, user: MESSAGING, password: password.to_owned() },
        ..Spec::new("redis", programs::redis_server()?, Path::new("/"), folder.join("logs/redis.log"))
    })
}
