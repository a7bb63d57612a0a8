//! All trusted issuers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::config::{IssuerConfig, IssuersFile, KeyLocation};
use super::key_source::{KeySource, read_file};

/// More than the largest file of issuers.
const MAX_BYTES: usize = 256 * 1024;
const READ_DEADLINE: Duration = Duration::from_secs(3);

/// An issuer and its keys.
pub(crate) struct Issuer {
    pub(crate) config: IssuerConfig,
    pub(super) keys: Arc<KeySource>,
}

/// The issuers of one version of the file.
#[derive(Default)]
pub(crate) struct Issuers {
    /// By the claim `iss`.
    issuers: HashMap<String, Arc<Issuer>>,
    sources: HashMap<KeyLocation, Arc<KeySource>>,
}

impl IssuersFile {
    /// Reads the file.
    pub(crate) async fn read(path: &Path) -> anyhow::Result<Self> {
        let read = timeout(READ_DEADLINE, read_file(path, MAX_BYTES)).await;
        let contents = read.with_context(|| format!("cannot read {}", path.display()))??;
        let text = String::from_utf8(contents).context("the file is not UTF-8")?;
        let directory = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, directory).with_context(|| format!("{} is wrong", path.display()))
    }
}

impl Issuers {
    /// The issuers of a file. Keys that an earlier version had are kept.
    pub(crate) fn new(file: IssuersFile, earlier: &Self, wake: &Arc<Notify>) -> Self {
        let mut new = Self::default();
        for config in file.issuers {
            let location = &config.keys;
            let keys = new.sources.get(location).or_else(|| earlier.sources.get(location));
            let keys = keys.cloned().unwrap_or_else(|| {
                Arc::new(KeySource::new(config.name.clone(), location.clone(), wake.clone()))
            });
            new.sources.insert(location.clone(), keys.clone());
            let issuer = Issuer { config, keys };
            new.issuers.insert(issuer.config.issuer.clone(), Arc::new(issuer));
        }
        new
    }

    /// Returns the issuer with this identifier.
    pub(super) fn get(&self, issuer: &str) -> Option<&Arc<Issuer>> {
        self.issuers.get(issuer)
    }

    /// Returns the places with keys.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Arc<KeySource>> {
        self.sources.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.issuers.len()
    }
}
