//! A private PgBouncer in front of a private Postgres.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::postgres::{Postgres, SUPERUSER, connect_options};
use crate::process::{Process, Spec};
use crate::programs;
use crate::readiness::Readiness;
use crate::secrets::write_secret;
use crate::user::User;

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client keeps a connection to Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// As long as it is connected.
    Session,
    /// For one transaction.
    Transaction,
}

/// A running private PgBouncer.
#[derive(Debug)]
pub struct PgBouncer {
    process: Process,
    address: SocketAddr,
    password: String,
}

impl PgBouncer {
    /// Starts a pooler with the default settings of the program and waits until it answers. The
    /// folder is for its settings and its log.
    pub async fn start(
        postgres: &Postgres,
        mode: PoolMode,
        folder: &Path,
        port: u16,
    ) -> anyhow::Result<Self> {
        let settings = write_settings(postgres, mode, folder, port)?;
        let password = postgres.password().to_owned();
        let options = connect_options(port, &password, SUPERUSER).extra_float_digits(None);
        let process = Process::start(Spec {
            arguments: vec![settings.into()],
            user: User::for_servers()?,
            death_signal: Signal::KILL,
            readiness: Readiness::Postgres(Box::new(options)),
            ..Spec::new(
                "pgbouncer",
                programs::find_in_package("pgbouncer", "pgbouncer")?,
                Path::new("/"),
                folder.join("logs/pgbouncer.log"),
            )
        })
        .await?;
        process.wait_until_ready(START_TIMEOUT).await?;
        Ok(Self { process, address: (Ipv4Addr::LOCALHOST, port).into(), password })
    }

    /// The URL of a database for the superuser, through the pooler.
    pub fn url(&self, database: &str) -> String {
        Postgres::url_at(self.address, SUPERUSER, &self.password, database)
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

fn write_settings(
    postgres: &Postgres,
    mode: PoolMode,
    folder: &Path,
    port: u16,
) -> anyhow::Result<PathBuf> {
    let (settings, users) = (folder.join("pgbouncer.ini"), folder.join("pgbouncer.users"));
    let (mode, target) = (
        match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
        },
        postgres.address(),
    );
    fs::write(
        &settings,
        format!(
            "[databases]\n* = host={} port={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\n",
            target.ip(),
            target.port(),
            users.display()
        ),
    )?;
    write_secret(&users, &format!("\"{SUPERUSER}\" \"{}\"\n", postgres.password()))?;
    if let Some(user) = User::for_servers()? {
        user.give(&settings)?;
        user.give(&users)?;
    }
    Ok(settings)
}
