//! Finds the programs of the system that devstack starts.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow, ensure};

/// The folder in which Debian installs each version of PostgreSQL.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";
/// Searched after PATH, which lacks `sbin` for ordinary users.
const MORE_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The programs of one PostgreSQL installation.
#[derive(Clone, Debug)]
pub(crate) struct PostgresPrograms {
    /// Contains `initdb` and `postgres`.
    folder: PathBuf,
}

impl PostgresPrograms {
    /// Finds the installation of a major version, or the newest if no version is wanted.
    pub(crate) fn find(wanted_major: Option<u32>) -> anyhow::Result<Self> {
        let mut installed = installed_versions();
        installed.sort_by_key(|(major, _)| (Some(*major) == wanted_major, *major));
        let folder = match installed.pop() {
            Some((_, folder)) => folder,
            None => folder_on_path().ok_or_else(|| missing("PostgreSQL", "postgresql"))?,
        };
        let programs = Self { folder };
        if let Some(wanted) = wanted_major {
            programs.ensure_major(wanted)?;
        }
        Ok(programs)
    }

    fn ensure_major(&self, wanted: u32) -> anyhow::Result<()> {
        let output = Command::new(self.postgres()).arg("--version").output();
        let version = String::from_utf8(output.context("cannot run `postgres --version`")?.stdout)?;
        // Example: `postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)`.
        let number = version
            .split_whitespace()
            .find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
        let major = number
            .and_then(|number| number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
        ensure!(
            major == Some(wanted),
            "the database was made by PostgreSQL {wanted}, and {} is {}: \
             install postgresql-{wanted}, or start from an empty database with `make reset`",
            self.postgres().display(),
            number.unwrap_or("of an unknown version")
        );
        Ok(())
    }

    pub(crate) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    /// The path of a client program, which this Debian package has.
    pub(crate) fn client(&self, program: &str, package: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(program);
        if path.is_file() { Ok(path) } else { Err(missing(program, package)) }
    }

    /// True if the module `pg_stat_statements` is installed.
    pub(crate) fn has_statement_statistics(&self) -> bool {
        let module = Path::new("lib/pg_stat_statements.so");
        self.folder.parent().is_some_and(|installation| installation.join(module).is_file())
    }
}

/// The path of a program, which this Debian package has.
pub(crate) fn find_in_package(program: &str, package: &str) -> anyhow::Result<PathBuf> {
    find(program).ok_or_else(|| missing(program, package))
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(MORE_FOLDERS.map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

fn installed_versions() -> Vec<(u32, PathBuf)> {
    let Ok(entries) = fs::read_dir(POSTGRES_VERSIONS) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, folder)| is_complete(folder))
        .collect()
}

fn folder_on_path() -> Option<PathBuf> {
    let folder = fs::canonicalize(find("initdb")?).ok()?.parent()?.to_owned();
    is_complete(&folder).then_some(folder)
}

fn is_complete(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}

fn missing(program: &str, package: &str) -> anyhow::Error {
    anyhow!("{program} is not installed: run `apt-get install {package}` as root")
}

/// The major version of a Postgres cluster; `None` if the folder has no cluster.
pub(crate) fn postgres_major(data: &Path) -> anyhow::Result<Option<u32>> {
    let file = data.join("PG_VERSION");
    if !file.exists() {
        return Ok(None);
    }
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let major =
        text.trim().parse().with_context(|| format!("{} holds no version", file.display()))?;
    Ok(Some(major))
}
