//! Where the programs of the system are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

/// Where Debian keeps the versions of PostgreSQL, each in a folder of its own.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";
/// Looked through after PATH, which lacks `sbin` for ordinary users.
const MORE_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The programs of one PostgreSQL installation.
#[derive(Clone, Debug)]
pub(crate) struct PostgresPrograms {
    /// `initdb` and `postgres` are in it.
    folder: PathBuf,
}

impl PostgresPrograms {
    /// The installation of that major version if there is one, else the newest.
    pub(crate) fn find(wanted_major: Option<u32>) -> anyhow::Result<Self> {
        let mut versions = installed_versions();
        versions.sort_by_key(|(major, _)| (Some(*major) == wanted_major, *major));
        let newest = versions.pop().map(|(_, folder)| folder);
        let on_path =
            || find("initdb").and_then(|initdb| Some(fs::canonicalize(initdb).ok()?.parent()?.to_owned()));
        let folder = newest
            .or_else(|| on_path().filter(|folder| is_complete(folder)))
            .ok_or_else(|| missing("PostgreSQL", "postgresql"))?;
        Ok(Self { folder })
    }

    pub(crate) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    /// Whether the module that counts statements is installed.
    pub(crate) fn has_statement_statistics(&self) -> bool {
        let module = Path::new("lib/pg_stat_statements.so");
        self.folder.parent().is_some_and(|installation| installation.join(module).is_file())
    }
}

/// The program `redis-server`.
pub(crate) fn redis_server() -> anyhow::Result<PathBuf> {
    find("redis-server").ok_or_else(|| missing("redis-server", "redis-server"))
}

/// The program `setpriv`.
pub(crate) fn setpriv() -> anyhow::Result<PathBuf> {
    find("setpriv").ok_or_else(|| missing("setpriv", "util-linux"))
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
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| is_complete(folder))
        .collect()
}

fn is_complete(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}

fn missing(program: &str, package: &str) -> anyhow::Error {
    anyhow!("{program} is not installed: run `apt-get install --no-install-recommends {package}` as root")
}

/// The major version of a data folder of Postgres, `None` if it holds no database yet.
pub(crate) fn postgres_major_of(data: &Path) -> anyhow::Result<Option<u32>> {
    let file = data.join("PG_VERSION");
    if !file.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let major = text.trim().parse().with_context(|| format!("{} holds no version", file.display()))?;
    Ok(Some(major))
}
