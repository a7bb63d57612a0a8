//! `devstack prepare`: describes every SQL statement against a database that has all migrations.
//! The descriptions are kept in the folder `.sqlx` of each service, so that a build needs no
//! database.
//!
//! `cargo sqlx prepare` does the same for one package and an existing database. This command starts
//! the database itself, handles all services, and needs no tool that takes minutes to install.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use clap::Args;
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};
use tokio::process::Command;
use tokio::time::timeout;

use crate::folder::TemporaryFolder;
use crate::port::free_port;
use crate::postgres::{Durability, Postgres, Settings};
use crate::secrets::random_secret;
use crate::stack::SERVICES;

const BUILD_TIMEOUT: Duration = Duration::from_secs(3600);

/// The options of `devstack prepare`.
#[derive(Args, Debug)]
pub struct Options {
    /// Changes nothing, and fails if a description is missing or out of date.
    #[arg(long)]
    check: bool,
}

/// Writes or checks the folders `.sqlx`. Runs in the folder of the project.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let data = TemporaryFolder::new()?;
    let postgres = Postgres::start(Settings {
        folder: data.path().to_owned(),
        port: free_port()?,
        password: random_secret(),
        durability: Durability::Volatile,
        certificate: None,
    })
    .await?;
    let database_url = postgres.url("postgres");
    for service in SERVICES {
        migrate(service, &folder(service), &database_url).await?;
    }
    // Compiles what is out of date, so that each later run compiles one service alone.
    compile_libraries(&database_url, TemporaryFolder::new()?.path()).await?;

    for service in SERVICES {
        let output = TemporaryFolder::new()?;
        let touched = Touched::new(folder(service).join("src/lib.rs"))?;
        compile_libraries(&database_url, output.path()).await?;
        drop(touched);

        let described = descriptions(output.path())?;
        let kept = folder(service).join(".sqlx");
        if options.check {
            let is_current = kept.exists() && descriptions(&kept)? == described;
            ensure!(is_current, "{} is out of date: run `make prepare`", kept.display());
        } else {
            replace(&kept, &described)?;
        }
        println!("{}: {} statements", kept.display(), described.len());
    }
    Ok(())
}

fn folder(service: &str) -> PathBuf {
    Path::new("services").join(service)
}

/// Applies the migrations of a service in its schema.
async fn migrate(service: &str, folder: &Path, database_url: &str) -> anyhow::Result<()> {
    let migrations = folder.join("migrations");
    let mut migrator = Migrator::new(migrations.as_path()).await.with_context(|| {
        format!("cannot read {}; run this in the folder of the project", migrations.display())
    })?;
    migrator.create_schema(service.to_owned());
    migrator.dangerous_set_table_name(format!("{service}._sqlx_migrations"));
    let mut connection = PgConnection::connect(database_url).await?;
    let migrated = migrator.run(&mut connection).await;
    migrated.with_context(|| format!("cannot apply {}", migrations.display()))?;
    Ok(connection.close().await?)
}

/// Compiles the libraries that have changed. The macros of sqlx write their descriptions to
/// `output`. All libraries of the workspace are built with the same features as in other builds.
async fn compile_libraries(database_url: &str, output: &Path) -> anyhow::Result<()> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["check", "--workspace", "--lib"])
        .env("DATABASE_URL", database_url)
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", output)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let status = timeout(BUILD_TIMEOUT, cargo.status()).await.context("cargo takes too long")?;
    ensure!(status.context("cannot run cargo")?.success(), "the project does not build, see above");
    Ok(())
}

/// A source file that looks changed to cargo until this value is dropped. The macros write
/// descriptions when they are expanded, and cargo compiles only what has changed.
struct Touched {
    file: File,
    modified: SystemTime,
}

impl Touched {
    fn new(path: PathBuf) -> anyhow::Result<Self> {
        let file = File::options().append(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        let modified = file.metadata()?.modified()?;
        #[expect(
            clippy::disallowed_methods,
            reason = "cargo compares files with the system clock"
        )]
        file.set_modified(SystemTime::now())?;
        Ok(Self { file, modified })
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        // If this fails, the next build compiles the service once more.
        let _ = self.file.set_modified(self.modified);
    }
}

/// The contents of the files of a folder by file name.
fn descriptions(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut descriptions = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") {
            descriptions.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(descriptions)
}

fn replace(folder: &Path, descriptions: &BTreeMap<String, Vec<u8>>) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir(folder)?;
    for (name, contents) in descriptions {
        fs::write(folder.join(name), contents)?;
    }
    Ok(())
}
