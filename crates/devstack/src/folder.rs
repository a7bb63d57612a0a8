//! Temporary folders of servers that were started for tests.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rand::Rng;

const PREFIX: &str = "parlance-test-";
const LOCK: &str = "lock";

/// A folder that is removed when this value is dropped. If the process ends without that, the next one that makes such a folder
/// removes it: the lock inside shows whether its owner lives.
#[derive(Debug)]
pub(crate) struct TemporaryFolder {
    path: PathBuf,
    _lock: File,
}

impl TemporaryFolder {
    pub(crate) fn new() -> anyhow::Result<Self> {
        remove_left_behind();
        let path = env::temp_dir().join(format!("{PREFIX}{:016x}", rand::rng().random::<u64>()));
        Self::at(path.clone()).with_context(|| format!("cannot make the folder {}", path.display()))
    }

    fn at(path: PathBuf) -> anyhow::Result<Self> {
        // Others may pass: Postgres runs as another user when this process is root.
        DirBuilder::new().mode(0o711).create(&path)?;
        let lock = File::create(path.join(LOCK))?;
        lock.try_lock()?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// What cannot be removed, for whatever reason, is left to the next process.
fn remove_left_behind() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if is_ours && has_no_owner(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn has_no_owner(folder: &Path) -> bool {
    // Without a lock it is just being made.
    File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}
