//! The file that `ISSUERS` names: TOML, with a table `[[issuers]]` for each issuer.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use url::{Host, Url};

/// Each issuer costs a fetch of its keys now and then.
const MAX_ISSUERS: usize = 32;
/// Characters of a name, which is the label of metrics.
const MAX_NAME: usize = 64;
/// Bytes of an issuer's identifier and of an audience.
const MAX_IDENTIFIER: usize = 512;
/// A century: more would overflow the arithmetic of dates.
const MAX_TTL: u64 = 100 * 366 * 86_400;

/// Everything in the file, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IssuersFile {
    pub(crate) issuers: Vec<IssuerConfig>,
}

/// An issuer whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IssuerConfig {
    /// The name in logs and metrics.
    pub(crate) name: String,
    /// The claim `iss` of its tokens.
    pub(crate) issuer: String,
    /// The claim `aud` of its tokens has one of these.
    pub(crate) audiences: Vec<String>,
    pub(crate) keys: KeyLocation,
    pub(crate) algorithms: Vec<Algorithm>,
    /// The claim that identifies a person.
    pub(crate) subject_claim: String,
    /// The claim that the name of a new account is made from.
    pub(crate) username_claim: String,
    /// True if unknown persons get an account.
    pub(crate) provision: bool,
    /// How long a session lives that an exchange begins.
    pub(crate) session_ttl: Duration,
}

/// Where the keys of an issuer are: a JSON Web Key Set (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyLocation {
    Url(Url),
    File(PathBuf),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    issuers: Vec<RawIssuer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIssuer {
    name: String,
    issuer: String,
    audience: OneOrMany,
    jwks_url: Option<String>,
    jwks_file: Option<PathBuf>,
    algorithms: Vec<String>,
    #[serde(default = "default_subject_claim")]
    subject_claim: String,
    #[serde(default = "default_username_claim")]
    username_claim: String,
    #[serde(default = "default_provision")]
    provision: bool,
    #[serde(default = "default_session_ttl")]
    session_ttl: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn default_subject_claim() -> String {
    "sub".to_owned()
}

fn default_username_claim() -> String {
    "preferred_username".to_owned()
}

const fn default_provision() -> bool {
    true
}

const fn default_session_ttl() -> u64 {
    86_400
}

impl IssuersFile {
    /// Parses and checks the text of the file. A relative `jwks_file` is relative to `directory`.
    pub(crate) fn parse(text: &str, directory: &Path) -> anyhow::Result<Self> {
        let raw: RawFile = toml::from_str(text).context("this is not the expected TOML")?;
        ensure!(raw.issuers.len() <= MAX_ISSUERS, "there are more than {MAX_ISSUERS} issuers");
        let mut names = HashSet::new();
        let mut identifiers = HashSet::new();
        let mut issuers = Vec::new();
        for raw in raw.issuers {
            let name = raw.name.clone();
            let config = IssuerConfig::check(raw, directory);
            let config = config.with_context(|| format!("the issuer `{name}`"))?;
            ensure!(names.insert(name.clone()), "two issuers have the name `{name}`");
            let is_new = identifiers.insert(config.issuer.clone());
            ensure!(is_new, "two issuers have the `issuer` {}", config.issuer);
            issuers.push(config);
        }
        Ok(Self { issuers })
    }
}

impl IssuerConfig {
    fn check(raw: RawIssuer, directory: &Path) -> anyhow::Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        ensure!(
            (1..=MAX_NAME).contains(&raw.name.len()) && raw.name.chars().all(is_plain),
            "`name` must be 1 to {MAX_NAME} ASCII letters, digits and any of `-_.`"
        );
        check_identifier("issuer", &raw.issuer)?;
        let audiences = match raw.audience {
            OneOrMany::One(audience) => vec![audience],
            OneOrMany::Many(audiences) => audiences,
        };
        ensure!(!audiences.is_empty(), "`audience` must not be empty");
        for audience in &audiences {
            check_identifier("audience", audience)?;
        }
        check_identifier("subject_claim", &raw.subject_claim)?;
        check_identifier("username_claim", &raw.username_claim)?;
        let ttl = raw.session_ttl;
        ensure!((1..=MAX_TTL).contains(&ttl), "`session_ttl` must be a number of seconds above 0");
        Ok(Self {
            keys: key_location(raw.jwks_url, raw.jwks_file, directory)?,
            algorithms: algorithms(&raw.algorithms)?,
            name: raw.name,
            issuer: raw.issuer,
            audiences,
            subject_claim: raw.subject_claim,
            username_claim: raw.username_claim,
            provision: raw.provision,
            session_ttl: Duration::from_secs(ttl),
        })
    }
}

fn check_identifier(field: &str, text: &str) -> anyhow::Result<()> {
    let is_right = (1..=MAX_IDENTIFIER).contains(&text.len()) && !text.contains(char::is_control);
    ensure!(is_right, "`{field}` must be 1 to {MAX_IDENTIFIER} bytes without control characters");
    Ok(())
}

fn key_location(
    url: Option<String>,
    file: Option<PathBuf>,
    directory: &Path,
) -> anyhow::Result<KeyLocation> {
    match (url, file) {
        (Some(url), None) => Ok(KeyLocation::Url(key_url(&url)?)),
        (None, Some(file)) => Ok(KeyLocation::File(directory.join(file))),
        _ => bail!("one of `jwks_url` and `jwks_file` must be set, and not both"),
    }
}

/// Only over TLS, or from the same machine: whoever can change the keys can be anybody.
fn key_url(text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).context("`jwks_url` is no URL")?;
    let is_loopback = match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback);
    ensure!(is_safe, "`jwks_url` must begin with https:// (http:// only to a loopback address)");
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    ensure!(!has_credentials, "`jwks_url` must not have a user name or a password");
    Ok(url)
}

/// Only asymmetric ones: with a symmetric one everybody who can check a token can make one.
fn algorithms(names: &[String]) -> anyhow::Result<Vec<Algorithm>> {
    ensure!(!names.is_empty(), "`algorithms` must not be empty");
    let parse = |name: &String| {
        let algorithm = name.parse::<Algorithm>().ok();
        let is_symmetric =
            |it: &Algorithm| matches!(it, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        algorithm.filter(|it| !is_symmetric(it)).with_context(|| {
            format!(
                "the algorithm `{name}` is not accepted; these are: RS256, RS384, RS512, PS256, \
                PS384, PS512, ES256, ES384, EdDSA"
            )
        })
    };
    names.iter().map(parse).collect()
}

#[cfg(test)]
#[path = "tests/config.rs"]
mod tests;
