//! A private Redis: it carries messages between processes and keeps nothing, so it has no data on the disk.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::probe::Probe;
use crate::process::{Process, Spec};
use crate::programs;
use crate::user::User;

const START_DEADLINE: Duration = Duration::from_secs(30);

/// A running private Redis, reachable by password over 127.0.0.1 only.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    address: SocketAddr,
    password: String,
    url: String,
}

impl Redis {
    /// Starts it; its log goes into the folder. The password is made of letters and digits.
    pub(crate) async fn start(folder: &Path, port: u16, password: &str) -> anyhow::Result<Self> {
        let process = Process::start(server(folder, port, password)?).await?;
        process.wait_until_ready(START_DEADLINE).await?;
        let address = (Ipv4Addr::LOCALHOST, port).into();
        Ok(Self { process, address, password: password.to_owned(), url: url(password, address) })
    }

    /// How clients reach it, password included.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it serves.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How clients reach it at another address.
    pub(crate) fn url_at(&self, address: SocketAddr) -> String {
        url(&self.password, address)
    }

    /// The server's process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

fn url(password: &str, address: SocketAddr) -> String {
    format!("redis://default:{password}@{address}")
}

fn server(folder: &Path, port: u16, password: &str) -> anyhow::Result<Spec> {
    let settings = format!(
        "bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave \"\"\nappendonly no\ndaemonize no\ndir /\n"
    );
    Ok(Spec {
        arguments: vec!["-".into()],
        user: User::for_servers()?,
        input: settings.into_bytes(),
        death_signal: Signal::KILL,
        probe: Probe::Redis { port, password: password.to_owned() },
        ..Spec::new("redis", programs::redis_server()?, Path::new("/"), folder.join("logs/redis.log"))
    })
}
