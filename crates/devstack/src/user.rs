//! The user that Postgres and Redis run as. Postgres refuses to run as root, and Redis should not.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow};

/// A user without privileges that child processes run as when this process is root.
#[derive(Clone, Debug)]
pub(crate) struct User {
    name: String,
    user_id: u32,
    group_id: u32,
}

impl User {
    /// Returns `None` if this process is not root: its children then run as the same user.
    pub(crate) fn for_servers() -> anyhow::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| passwd.lines().find_map(|line| Self::parse(line, name)))
            .map(Some)
            .ok_or_else(|| {
                anyhow!("/etc/passwd has neither a user `postgres` nor `nobody` to run Postgres as")
            })
    }

    fn parse(line: &str, name: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let found = fields.next().filter(|found| *found == name)?;
        let user_id = fields.nth(1)?.parse().ok()?;
        let group_id = fields.next()?.parse().ok()?;
        Some(Self { name: found.to_owned(), user_id, group_id })
    }

    /// Makes this user the owner of a file or folder.
    pub(crate) fn give(&self, path: &Path) -> anyhow::Result<()> {
        chown(path, Some(self.user_id), Some(self.group_id))
            .with_context(|| format!("cannot give {} to the user {}", path.display(), self.name))
    }

    /// The arguments of setpriv that turn root into this user, for a process that works in
    /// `folder`. If the user cannot enter the folder, for example one below /root, the process
    /// keeps the capability to do so.
    pub(crate) fn setpriv_arguments(&self, setpriv: &Path, folder: &Path) -> Vec<String> {
        let mut arguments = self.identity();
        if !self.can_enter(setpriv, folder) {
            arguments.extend(
                ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"].map(str::to_owned),
            );
        }
        arguments
    }

    fn identity(&self) -> Vec<String> {
        vec![
            format!("--reuid={}", self.user_id),
            format!("--regid={}", self.group_id),
            // Looks up the supplementary groups by the name of the user.
            "--init-groups".to_owned(),
        ]
    }

    fn can_enter(&self, setpriv: &Path, folder: &Path) -> bool {
        let here: PathBuf = folder.join(".");
        Command::new(setpriv)
            .args(self.identity())
            .args(["--", "test", "-x"])
            .arg(here)
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}
