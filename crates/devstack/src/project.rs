//! The folder that keeps the data of `devstack up` between two starts.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::secrets::Secrets;

/// The version of the folder's layout. Raise it when an older folder cannot be used any more.
const LAYOUT: &str = "2";
const LAYOUT_FILE: &str = "layout";
const LOCK_FILE: &str = "lock";
const SECRETS_FILE: &str = "secrets";

/// The data folder, locked by this process.
#[derive(Debug)]
pub(crate) struct ProjectFolder {
    path: PathBuf,
    _lock: File,
}

impl ProjectFolder {
    /// Makes the folder if it does not exist, and locks it until this value is dropped.
    pub(crate) fn lock(path: &Path) -> anyhow::Result<Self> {
        // Searchable for all users: Postgres runs as another user when this process is root.
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(path)
            .with_context(|| cannot("make", path))?;
        let path = fs::canonicalize(path).with_context(|| cannot("find", path))?;
        let lock_file = path.join(LOCK_FILE);
        let lock = File::create(&lock_file).with_context(|| cannot("write", &lock_file))?;
        if lock.try_lock().is_err() {
            bail!(
                "Parlance already runs on the data in {}: stop it first with Ctrl-C",
                path.display()
            );
        }
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The secrets that belong to the data. Makes them if there is no data yet.
    pub(crate) fn secrets(&self) -> anyhow::Result<Secrets> {
        let layout_file = self.path.join(LAYOUT_FILE);
        let secrets_file = self.path.join(SECRETS_FILE);
        let layout = fs::read_to_string(&layout_file).unwrap_or_default();
        if self.path.join("postgres").exists() || secrets_file.exists() {
            ensure!(
                layout == LAYOUT && secrets_file.exists(),
                "the data in {} has an older layout: delete it with `make reset`",
                self.path.display()
            );
            return Secrets::load(&secrets_file);
        }
        let secrets = Secrets::random();
        fs::write(&layout_file, LAYOUT).with_context(|| cannot("write", &layout_file))?;
        secrets.save(&secrets_file)?;
        Ok(secrets)
    }

    /// Deletes the folder.
    pub(crate) fn remove(self) -> anyhow::Result<()> {
        let path = &self.path;
        fs::remove_dir_all(path).with_context(|| cannot("delete", path))
    }
}

fn cannot(verb: &str, path: &Path) -> String {
    format!("cannot {verb} {}", path.display())
}
