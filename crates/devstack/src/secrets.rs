//! The secrets of one stack. They consist of letters and digits, so that URLs, SQL and
//! configuration files can hold them without escaping.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use rand::Rng;
use rand::distr::Alphanumeric;

const LENGTH: usize = 32;
const NAMES: [&str; 7] = [
    "INTERNAL_TOKEN",
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "AUTH_PASSWORD",
    "CONTACTS_PASSWORD",
    "ROOMS_PASSWORD",
    "MESSAGING_PASSWORD",
];

/// Secrets by name.
#[derive(Clone)]
pub(crate) struct Secrets(BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets {
    /// Makes new secrets.
    pub(crate) fn random() -> Self {
        Self(NAMES.map(|name| (name.to_owned(), random_secret())).into())
    }

    /// Reads a file with lines such as `INTERNAL_TOKEN=…`.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self(text.lines().filter_map(parse_line).collect()))
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let text: String = self.0.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        write_secret(path, &text)
    }

    pub(crate) fn get(&self, name: &str) -> anyhow::Result<&str> {
        let secret = self.0.get(name).map(String::as_str);
        secret.with_context(|| {
            format!("the secret {name} is missing: start from an empty database with `make reset`")
        })
    }

    /// The password of a service's role in Postgres.
    pub(crate) fn role_password(&self, service: &str) -> anyhow::Result<&str> {
        self.get(&Self::role_password_name(service))
    }

    /// The name of that secret.
    pub(crate) fn role_password_name(service: &str) -> String {
        format!("{}_PASSWORD", service.to_uppercase())
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Makes one secret, 190 bits of randomness.
pub fn random_secret() -> String {
    rand::rng().sample_iter(Alphanumeric).take(LENGTH).map(char::from).collect()
}

fn parse_line(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    let is_plain = value.len() == LENGTH && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plain.then(|| (name.to_owned(), value.to_owned()))
}
