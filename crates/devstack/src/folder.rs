//! Temporary folders of servers for tests.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rand::Rng;

const PREFIX: &str = "parlance-test-";
const LOCK: &str = "lock";

/// A folder that is removed when this value is dropped. A process that is killed leaves its folder
/// behind; the next process that makes a temporary folder removes it. The lock file in the folder
/// is locked while its owner runs.
#[derive(Debug)]
pub struct TemporaryFolder {
    path: PathBuf,
    _lock: File,
}

impl TemporaryFolder {
    /// Makes a folder, and removes those of ended processes.
    pub fn new() -> anyhow::Result<Self> {
        remove_left_behind();
        // Another process may remove the folder before it is locked. A second try has another name.
        Self::at_random().or_else(|_| Self::at_random())
    }

    fn at_random() -> anyhow::Result<Self> {
        let path = env::temp_dir().join(format!("{PREFIX}{:016x}", rand::rng().random::<u64>()));
        Self::at(path.clone()).with_context(|| format!("cannot make the folder {}", path.display()))
    }

    fn at(path: PathBuf) -> anyhow::Result<Self> {
        // Searchable for all users: Postgres runs as another user when this process is root.
        DirBuilder::new().mode(0o711).create(&path)?;
        let lock = File::create(path.join(LOCK))?;
        lock.try_lock()?;
        Ok(Self { path, _lock: lock })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes folders whose owner has ended. Errors are ignored: the next process tries again.
fn remove_left_behind() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let path = entry.path();
        if let Some(_lock) = is_ours.then(|| lock_of_dead_owner(&path)).flatten() {
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn lock_of_dead_owner(folder: &Path) -> Option<File> {
    // A folder without a lock file is being made by another process.
    let lock = File::open(folder.join(LOCK)).ok()?;
    lock.try_lock().is_ok().then_some(lock)
}
