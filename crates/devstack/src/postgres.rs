//! A private Postgres: its own cluster in its own folder, reachable with a password over 127.0.0.1.

use std::fs::{self, DirBuilder};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use crate::certificates::CertificateFiles;
use crate::process::{Process, Spec};
use crate::programs::{self, PostgresPrograms};
use crate::readiness::Readiness;
use crate::secrets::write_secret;
use crate::stopped::wait_until_stopped;
use crate::user::User;

/// The name of the superuser.
pub(crate) const SUPERUSER: &str = "postgres";
const START_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const INITDB_TIMEOUT: Duration = Duration::from_secs(120);

/// Whether committed data survives a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Postgres flushes a commit to the disk before it answers.
    Durable,
    /// Postgres never flushes: fast, for tests.
    Volatile,
}

impl Durability {
    fn options(self) -> &'static [&'static str] {
        match self {
            // As in `docker-compose.yml`.
            Self::Durable => {
                &["fsync=on", "shared_buffers=256MB", "max_connections=300", "min_wal_size=1GB"]
            }
            Self::Volatile => &[
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
                "autovacuum=off",
                "max_connections=500",
            ],
        }
    }

    /// A fast shutdown writes a checkpoint; an immediate one does not.
    fn death_signal(self) -> Signal {
        match self {
            Self::Durable => Signal::INT,
            Self::Volatile => Signal::QUIT,
        }
    }
}

/// Describes a private Postgres.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The parent of the cluster and its log.
    pub folder: PathBuf,
    /// The port of 127.0.0.1 that the server listens on.
    pub port: u16,
    /// The password of the superuser: letters and digits.
    pub password: String,
    /// Whether committed data survives a crash.
    pub durability: Durability,
    /// Enables TLS.
    pub certificate: Option<CertificateFiles>,
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
    /// Starts a server on the cluster of the folder. Makes the cluster if there is none.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        settings.certificate.iter().try_for_each(CertificateFiles::give_to_servers)?;
        let data = settings.folder.join("postgres");
        let user = User::for_servers()?;
        let major = programs::postgres_major(&data)?;
        let programs = PostgresPrograms::find(major)?;
        if major.is_none() {
            make_cluster(&programs, &settings, &data, user.clone()).await?;
        }
        let process = Process::start(server(&programs, &settings, &data, user)).await?;
        process.wait_until_ready(START_TIMEOUT).await?;
        Ok(Self { process, programs, port: settings.port, password: settings.password })
    }

    /// Copies the cluster of this server to another folder, as a standby that follows this server
    /// when it is started there, with the same password.
    pub async fn copy_as_standby(&self, folder: &Path) -> anyhow::Result<()> {
        let data = folder.join("postgres");
        DirBuilder::new().mode(0o700).create(&data)?;
        let user = User::for_servers()?;
        if let Some(user) = &user {
            user.give(&data)?;
        }
        let arguments = [
            "--host=127.0.0.1",
            &format!("--port={}", self.port),
            &format!("--username={SUPERUSER}"),
            &format!("--pgdata={}", data.display()),
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        ];
        let copy = Process::start(Spec {
            arguments: arguments.map(Into::into).into(),
            environment: vec![("PGPASSWORD".to_owned(), self.password.clone())],
            user,
            ..Spec::new(
                "pg_basebackup",
                self.programs.client("pg_basebackup", "postgresql-client")?,
                &data,
                folder.join("logs/pg_basebackup.log"),
            )
        })
        .await?;
        let status = copy.wait(INITDB_TIMEOUT).await?;
        ensure!(status.success(), "pg_basebackup failed ({status}){}", copy.last_lines());
        Ok(())
    }

    /// Stops all processes of the server with SIGSTOP until the result is dropped: connections stay
    /// open, new ones are accepted by the kernel, and nothing is answered.
    pub fn pause(&self) -> anyhow::Result<PausedPostgres> {
        let id = self.process.id().context("Postgres does not run")?;
        self.process.pause()?;
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let ids = format!("{children} {id}");
        let ids: Vec<i32> = ids.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let paused = PausedPostgres(ids.into_iter().filter_map(Pid::from_raw).collect());
        paused.signal(Signal::STOP);
        wait_until_stopped(&paused.0).context("cannot pause Postgres")?;
        Ok(paused)
    }

    /// The URL of a database for the superuser.
    pub fn url(&self, database: &str) -> String {
        Self::url_at(self.address(), SUPERUSER, &self.password, database)
    }

    /// The password of the superuser.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The address of the server.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The URL of a database for a role, on a server at this address.
    pub(crate) fn url_at(
        address: SocketAddr,
        role: &str,
        password: &str,
        database: &str,
    ) -> String {
        format!("postgres://{role}:{password}@{address}/{database}")
    }

    /// Connects to a database as the superuser.
    pub async fn connect(&self, database: &str) -> anyhow::Result<PgConnection> {
        let options = connect_options(self.port, &self.password, database);
        let connection = tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await;
        connection.context("Postgres did not answer")?.context("cannot connect to Postgres")
    }

    /// Runs a script with psql as the superuser. The script can read the variables; its output is
    /// in the log.
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
            ..Spec::new(
                "psql",
                self.programs.client("psql", "postgresql-client")?,
                Path::new("/"),
                log,
            )
        })
        .await?;
        let status = psql.wait(CONNECT_TIMEOUT).await?;
        ensure!(status.success(), "psql failed ({status}){}", psql.last_lines());
        Ok(())
    }

    /// A command that runs pgbench on a database as the superuser. The caller adds the workload.
    pub fn pgbench(&self, database: &str) -> anyhow::Result<Command> {
        let mut pgbench = Command::new(self.programs.client("pgbench", "postgresql-contrib")?);
        self.connect_as_superuser(&mut pgbench, database);
        Ok(pgbench)
    }

    /// A command that dumps a database as the superuser. The caller adds the format.
    pub fn pg_dump(&self, database: &str) -> anyhow::Result<Command> {
        let mut pg_dump = Command::new(self.programs.client("pg_dump", "postgresql-client")?);
        self.connect_as_superuser(&mut pg_dump, database);
        Ok(pg_dump)
    }

    fn connect_as_superuser(&self, command: &mut Command, database: &str) {
        command
            .args(["--host", "127.0.0.1", "--username", SUPERUSER])
            .arg(format!("--port={}", self.port))
            .env("PGPASSWORD", &self.password)
            .env("PGDATABASE", database);
    }

    /// The server's process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Stops the server as `pg_ctl stop -m immediate` does: the next start recovers from the log.
    pub async fn stop_immediately(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::QUIT)?;
        self.process.wait(Duration::from_secs(10)).await.map(drop)
    }

    /// Stops the server as `pg_ctl stop -m fast` does: it rolls back open transactions and writes a
    /// checkpoint.
    pub async fn stop(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::INT)?;
        self.process.wait(Duration::from_secs(60)).await.map(drop)
    }
}

/// The stopped processes of a server. They go on when this value is dropped; the server must not be
/// dropped before, because it could not end them.
#[derive(Debug)]
pub struct PausedPostgres(Vec<Pid>);

impl PausedPostgres {
    fn signal(&self, signal: Signal) {
        for &id in &self.0 {
            // One that has ended meanwhile needs no signal: a stopped parent has not reaped it, so
            // no other process has its id.
            let _ = kill_process(id, signal);
        }
    }
}

impl Drop for PausedPostgres {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
    }
}

pub(crate) fn connect_options(port: u16, password: &str, database: &str) -> PgConnectOptions {
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
    // The cluster has another name until it is complete. An interrupted initdb starts again.
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
    let status = initdb.wait(INITDB_TIMEOUT).await?;
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
    if settings.durability == Durability::Volatile {
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

    let readiness = Readiness::Postgres(Box::new(connect_options(
        settings.port,
        &settings.password,
        SUPERUSER,
    )));
    let death_signal = settings.durability.death_signal();
    let log = settings.folder.join("logs/postgres.log");
    Spec {
        arguments,
        user,
        readiness,
        death_signal,
        ..Spec::new("postgres", programs.postgres(), data, log)
    }
}
