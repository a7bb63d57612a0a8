//! `devstack prepare`: lets the macros of sqlx describe every statement against a database that has
//! all migrations, and keeps the descriptions in each service's `.sqlx`, so that a build needs no
//! database.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io;
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
use crate::stack::SERVICES;
use crate::testing;

const BUILD_DEADLINE: Duration = Duration::from_secs(3600);

/// Stands in for rustc, so that each package has a folder of its own for its descriptions.
const RUSTC_WRAPPER: &str = "scripts/rustc-with-descriptions";

/// What `devstack prepare` can be told.
#[derive(Args, Debug)]
pub struct Options {
    /// Changes nothing, and fails if something would have to change.
    #[arg(long)]
    check: bool,
}

/// The descriptions of a service's statements: their contents by file name.
type Descriptions = BTreeMap<String, Vec<u8>>;

/// Writes or checks the folders `.sqlx`. To be run in the project's folder.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let database_url = testing::fresh_database().await?;
    for service in SERVICES {
        migrate(service, &database_url).await?;
    }
    let output = TemporaryFolder::new()?;
    describe(&database_url, output.path()).await?;

    for service in SERVICES {
        let described = read(&output.path().join(package_of(service)))?;
        let kept = folder_of(service).join(".sqlx");
        if options.check {
            ensure!(
                described == read(&kept)?,
                "{} does not fit the statements or migrations of {service}: run `make prepare` and commit the result",
                kept.display()
            );
        } else {
            replace(&kept, &described)?;
        }
        println!("{}: {} statements", kept.display(), described.len());
    }
    Ok(())
}

/// Leaves the descriptions of each service's statements in a folder named after its package.
async fn describe(database_url: &str, output: &Path) -> anyhow::Result<()> {
    let mut touched = Vec::new();
    for service in SERVICES {
        fs::create_dir(output.join(package_of(service)))?;
        touched.push(Touched::new(folder_of(service).join("src/lib.rs"))?);
    }
    let wrapper =
        fs::canonicalize(RUSTC_WRAPPER).with_context(|| format!("cannot find {RUSTC_WRAPPER}"))?;

    // All of the workspace, as the other checks build it, so that its libraries are built once for
    // all of them.
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["check", "--workspace", "--all-targets"])
        .env("RUSTC_WORKSPACE_WRAPPER", wrapper)
        .env("DESCRIPTIONS", output)
        .env("DATABASE_URL", database_url)
        .env("SQLX_OFFLINE", "false")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let status = timeout(BUILD_DEADLINE, cargo.status()).await.context("cargo took too long")?;
    ensure!(status.context("cannot run cargo")?.success(), "the project does not build, see above");
    Ok(())
}

/// Each service into its own schema, the table of its migrations included.
async fn migrate(service: &str, database_url: &str) -> anyhow::Result<()> {
    let folder = folder_of(service).join("migrations");
    let mut migrator = Migrator::new(folder.as_path()).await.with_context(|| {
        format!("cannot read {}; run this in the project's folder", folder.display())
    })?;
    migrator.create_schema(service.to_owned());
    migrator.dangerous_set_table_name(format!("{service}._sqlx_migrations"));
    let mut connection = PgConnection::connect(database_url).await?;
    migrator
        .run(&mut connection)
        .await
        .with_context(|| format!("cannot apply {} to an empty database", folder.display()))?;
    connection.close().await?;
    Ok(())
}

fn folder_of(service: &str) -> PathBuf {
    Path::new("services").join(service)
}

fn package_of(service: &str) -> String {
    format!("parlance-{service}")
}

/// A source file that looks changed to cargo, until this value is dropped: the macros describe when
/// they are expanded, and cargo expands again only what has changed.
struct Touched {
    file: File,
    before: SystemTime,
}

impl Touched {
    fn new(path: PathBuf) -> anyhow::Result<Self> {
        let open = || {
            let file = File::options().append(true).open(&path)?;
            let before = file.metadata()?.modified()?;
            #[expect(
                clippy::disallowed_methods,
                reason = "cargo compares the times of files with the system's clock"
            )]
            file.set_modified(SystemTime::now())?;
            io::Result::Ok(Self { file, before })
        };
        open().with_context(|| format!("cannot touch {}", path.display()))
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        // At worst a later build does more than it must.
        let _ = self.file.set_modified(self.before);
    }
}

/// Empty if the folder does not exist.
fn read(folder: &Path) -> anyhow::Result<Descriptions> {
    let mut descriptions = Descriptions::new();
    if !folder.exists() {
        return Ok(descriptions);
    }
    for entry in fs::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("query-") {
            descriptions.insert(name, fs::read(&path)?);
        }
    }
    Ok(descriptions)
}

fn replace(folder: &Path, descriptions: &Descriptions) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir(folder)?;
    for (name, contents) in descriptions {
        fs::write(folder.join(name), contents)?;
    }
    Ok(())
}
