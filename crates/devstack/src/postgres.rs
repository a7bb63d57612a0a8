//! A private Postgres: a cluster of its own, in a folder of its own, reachable by password over
//! 127.0.0.1 only.

use std::fs::{self, DirBuilder};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use crate::certificates::CertificateFiles;
use crate::probe::Probe;
use crate::process::{Process, Spec};
use crate::programs::{self, PostgresPrograms};
use crate::secrets::write_secret;
use crate::user::User;

/// The role that may do everything.
const SUPERUSER: &str = "postgres";
const START_DEADLINE: Duration = Duration::from_secs(60);
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);
const INITDB_DEADLINE: Duration = Duration::from_secs(120);

/// Whether the data must survive a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A commit is on the disk before it is answered.
    Durable,
    /// Quick, for data that nobody will miss.
    Fleeting,
}

impl Durability {
    fn options(self) -> &'static [&'static str] {
        match self {
            // As in `docker-compose.yml`.
            Self::Durable => {
                &["fsync=on", "shared_buffers=256MB", "max_connections=300", "min_wal_size=1GB"]
            }
            Self::Fleeting => &[
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
                "autovacuum=off",
                "max_connections=500",
            ],
        }
    }

    /// With a checkpoint, or without.
    fn death_signal(self) -> Signal {
        match self {
            Self::Durable => Signal::INT,
            Self::Fleeting => Signal::QUIT,
        }
    }
}

/// What the owner of a private Postgres decides.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Holds the folder of the cluster and the log.
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    /// Of the superuser; made of letters and digits.
    pub(crate) password: String,
    pub(crate) durability: Durability,
    /// With which it also takes connections over TLS.
    pub(crate) certificate: Option<CertificateFiles>,
}

/// A running private Postgres.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    programs: PostgresPrograms,
    port: u16,
    password: String,
}

impl Postgres {
    /// Starts it on the folder's cluster, which is made first if there is none.
    pub(crate) async fn start(settings: Settings) -> anyhow::Result<Self> {
        settings.certificate.iter().try_for_each(CertificateFiles::give_to_servers)?;
        let data = settings.folder.join("postgres");
        let user = User::for_servers()?;
        let major = programs::postgres_major_of(&data)?;
        let programs = PostgresPrograms::find(major)?;
        if major.is_none() {
            make_cluster(&programs, &settings, &data, user.clone()).await?;
        }
        let process = Process::start(server(&programs, &settings, &data, user)).await?;
        process.wait_until_ready(START_DEADLINE).await?;
        Ok(Self { process, programs, port: settings.port, password: settings.password })
    }

    /// The URL of one of its databases for the superuser.
    pub fn url(&self, database: &str) -> String {
        Self::url_at(self.address(), SUPERUSER, &self.password, database)
    }

    /// Where it serves.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The URL for a role that is to look for a Postgres at this address.
    pub(crate) fn url_at(
        address: SocketAddr,
        role: &str,
        password: &str,
        database: &str,
    ) -> String {
        format!("postgres://{role}:{password}@{address}/{database}")
    }

    /// A connection of the superuser to one of its databases.
    pub async fn connect(&self, database: &str) -> anyhow::Result<PgConnection> {
        let options = connect_options(self.port, &self.password, database);
        let connection = tokio::time::timeout(CONNECT_DEADLINE, options.connect()).await;
        connection.context("Postgres did not answer")?.context("cannot connect to Postgres")
    }

    /// Lets psql run a script in one of its databases as the superuser; the script sees the
    /// variables, and its output is in the log.
    pub(crate) async fn run_script(
        &self,
        database: &str,
        script: &str,
        variables: Vec<(String, String)>,
        log: PathBuf,
    ) -> anyhow::Result<()> {
        let connection = [
            ("PGHOST", "127.0.0.1"),
            ("PGPORT", &self.port.to_string()),
            ("PGUSER", SUPERUSER),
            ("PGPASSWORD", &self.password),
            ("PGDATABASE", database),
        ];
        let mut environment = variables;
        environment.extend(connection.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let psql = Process::start(Spec {
            arguments: ["--no-psqlrc", "--quiet", "--file=-"].map(Into::into).into(),
            environment,
            input: script.into(),
            ..Spec::new("psql", self.programs.psql()?, Path::new("/"), log)
        })
        .await?;
        let status = psql.wait(CONNECT_DEADLINE).await?;
        ensure!(status.success(), "psql failed ({status}){}", psql.last_lines());
        Ok(())
    }

    /// The program `pgbench`, told to work on one of its databases as the superuser. What it is to
    /// do is for the caller to add.
    pub fn pgbench(&self, database: &str) -> anyhow::Result<Command> {
        let mut pgbench = Command::new(self.programs.pgbench()?);
        pgbench
            .args(["--host", "127.0.0.1", "--username", SUPERUSER])
            .arg(format!("--port={}", self.port))
            .env("PGPASSWORD", &self.password)
            .env("PGDATABASE", database);
        Ok(pgbench)
    }

    /// The server's process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it at once, as `pg_ctl stop -m immediate` does: the next start has to recover from the
    /// log.
    pub async fn stop_immediately(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::QUIT)?;
        self.process.wait(Duration::from_secs(10)).await.map(drop)
    }

    /// Ends it in order: open transactions are rolled back, everything is written to the disk.
    pub async fn stop(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::INT)?;
        self.process.wait(Duration::from_secs(60)).await.map(drop)
    }
}

fn connect_options(port: u16, password: &str, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(SUPERUSER)
        .password(password)
        .database(database)
        .disable_statement_logging()
}

async fn make_cluster(
    programs: &PostgresPrograms,
    settings: &Settings,
    data: &Path,
    user: Option<User>,
) -> anyhow::Result<()> {
    // Under another name until it is complete: a cluster whose making was cut short is made anew.
    let unfinished = settings.folder.join("postgres.unfinished");
    let password_file = unfinished.with_extension("password");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)
            .with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    DirBuilder::new().mode(0o700).create(&unfinished)?;
    write_secret(&password_file, &settings.password)?;
    if let Some(user) = &user {
        user.give(&unfinished)?;
        user.give(&password_file)?;
    }

    let initdb =
        Process::start(initdb(programs, settings, &unfinished, &password_file, user)).await?;
    let status = initdb.wait(INITDB_DEADLINE).await?;
    fs::remove_file(&password_file)?;
    ensure!(status.success(), "initdb failed ({status}){}", initdb.last_lines());
    fs::rename(&unfinished, data).with_context(|| format!("cannot make {}", data.display()))
}

fn initdb(
    programs: &PostgresPrograms,
    settings: &Settings,
    data: &Path,
    password_file: &Path,
    user: Option<User>,
) -> Spec {
    let mut arguments = vec![
        format!("--pgdata={}", data.display()).into(),
        format!("--pwfile={}", password_file.display()).into(),
        format!("--username={SUPERUSER}").into(),
        "--auth=scram-sha-256".into(),
        "--encoding=UTF8".into(),
        "--locale=C.UTF-8".into(),
        "--no-instructions".into(),
    ];
    if settings.durability == Durability::Fleeting {
        arguments.push("--no-sync".into());
    }
    Spec {
        arguments,
        user,
        ..Spec::new("initdb", programs.initdb(), data, settings.folder.join("logs/initdb.log"))
    }
}

fn server(
    programs: &PostgresPrograms,
    settings: &Settings,
    data: &Path,
    user: Option<User>,
) -> Spec {
    let mut options = vec![
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        format!("port={}", settings.port),
    ];
    options.extend(settings.durability.options().iter().map(|option| (*option).to_owned()));
    if let Some(files) = &settings.certificate {
        let (cert, key) = (files.cert.display(), files.key.display());
        options.extend([
            "ssl=on".to_owned(),
            format!("ssl_cert_file={cert}"),
            format!("ssl_key_file={key}"),
        ]);
    }
    if programs.has_statement_statistics() {
        options.push("shared_preload_libraries=pg_stat_statements".to_owned());
    }
    let mut arguments = vec!["-D".into(), data.into()];
    arguments.extend(options.into_iter().flat_map(|option| ["-c".into(), option.into()]));

    let probe =
        Probe::Postgres(Box::new(connect_options(settings.port, &settings.password, SUPERUSER)));
    let death_signal = settings.durability.death_signal();
    let log = settings.folder.join("logs/postgres.log");
    Spec {
        arguments,
        user,
        probe,
        death_signal,
        ..Spec::new("postgres", programs.postgres(), data, log)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::Connection;

    use super::{Durability, Postgres, Settings};
    use crate::folder::TemporaryFolder;
    use crate::{free_port, secrets};

    #[tokio::test]
    async fn a_dropped_server_is_gone_and_its_data_is_there_for_the_next() {
        let folder = TemporaryFolder::new().unwrap();
        let settings = durable(folder.path());

        let first = Postgres::start(settings.clone()).await.unwrap();
        execute(&first, "CREATE TABLE kept (id BIGINT)").await;
        let id = first.process().id().unwrap();
        drop(first);
        assert!(!Path::new(&format!("/proc/{id}")).exists());

        let second = Postgres::start(settings).await.unwrap();
        execute(&second, "INSERT INTO kept VALUES (1)").await;
    }

    #[tokio::test]
    async fn a_killed_server_comes_back_on_the_same_port() {
        let folder = TemporaryFolder::new().unwrap();
        let postgres = Postgres::start(durable(folder.path())).await.unwrap();

        postgres.process().kill().await.unwrap();
        assert!(postgres.process().id().is_none());

        postgres.process().restart(super::START_DEADLINE).await.unwrap();
        execute(&postgres, "SELECT 1").await;
    }

    #[tokio::test]
    async fn data_of_another_version_is_refused_with_a_sentence() {
        let folder = TemporaryFolder::new().unwrap();
        let data = folder.path().join("postgres");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("PG_VERSION"), "8\n").unwrap();

        let error = Postgres::start(durable(folder.path())).await.unwrap_err().to_string();
        assert!(error.contains("PostgreSQL 8") && error.contains("make reset"), "{error}");
    }

    fn durable(folder: &Path) -> Settings {
        Settings {
            folder: folder.to_owned(),
            port: free_port().unwrap(),
            password: secrets::random_secret(),
            durability: Durability::Durable,
            certificate: None,
        }
    }

    async fn execute(postgres: &Postgres, statement: &'static str) {
        let mut connection = postgres.connect("postgres").await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}
