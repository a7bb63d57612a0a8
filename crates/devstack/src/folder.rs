//! Temporary folders of servers that were started for tests.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rand::Rng;

const PREFIX: &str = "parlance-test-";
const LOCK: &str = "lock";

/// A folder that is removed when this value is dropped. If the process ends without that, the next
/// one that makes such a folder removes it: the lock inside shows whether its owner lives.
#[derive(Debug)]
pub(crate) struct TemporaryFolder {
    path: PathBuf,
    _lock: File,
}

impl TemporaryFolder {
    pub(crate) fn new() -> anyhow::Result<Self> {
        remove_left_behind();
        // Another process may take a folder that is not locked yet for one that was left behind.
        Self::at_random().or_else(|_| Self::at_random())
    }

    fn at_random() -> anyhow::Result<Self> {
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
        let path = entry.path();
        if let Some(_lock) = is_ours.then(|| lock_of_dead_owner(&path)).flatten() {
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn lock_of_dead_owner(folder: &Path) -> Option<File> {
    // Without the file it is just being made.
    let lock = File::open(folder.join(LOCK)).ok()?;
    lock.try_lock().is_ok().then_some(lock)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{LOCK, TemporaryFolder, remove_left_behind};

    #[test]
    fn a_folder_is_removed_when_its_owner_is_gone_and_not_before() {
        let owned = TemporaryFolder::new().unwrap();
        let left_behind = owned.path().with_extension("left");
        fs::create_dir(&left_behind).unwrap();
        fs::write(left_behind.join(LOCK), "").unwrap();

        remove_left_behind();

        assert!(owned.path().exists());
        assert!(!left_behind.exists());
    }
}
