//! Replicas that trust issuers.

use std::fmt::Write;
use std::path::PathBuf;

use parlance_core::Clock;
use parlance_devstack::TemporaryFolder;
use parlance_proto::auth::{ExchangeRequest, ExchangeResponse};
use parlance_testkit::issuer::{Issuer, Key};
use serde_json::{Value, json};
use tonic::Status;

use crate::app::Auth;

/// The identifier of the issuer with this name.
pub(crate) fn identifier(name: &str) -> String {
    format!("https://{name}.example")
}

/// A file with issuers. It is deleted when this is dropped.
pub(crate) struct IssuersFile {
    folder: TemporaryFolder,
    text: String,
}

impl IssuersFile {
    pub(crate) fn new() -> Self {
        Self { folder: TemporaryFolder::new().unwrap(), text: String::new() }
    }

    /// Adds an issuer with the keys of a server; `more` are lines of TOML.
    pub(crate) fn with(self, name: &str, server: &Issuer, more: &str) -> Self {
        self.with_keys(name, &format!("jwks_url = \"{}\"", server.url), more)
    }

    /// Adds an issuer; `keys` is the line that names its keys.
    pub(crate) fn with_keys(mut self, name: &str, keys: &str, more: &str) -> Self {
        let issuer = identifier(name);
        writeln!(
            self.text,
            "[[issuers]]\nname = \"{name}\"\nissuer = \"{issuer}\"\naudience = \"parlance\"\n\
            algorithms = [\"RS256\", \"PS256\", \"ES256\", \"EdDSA\"]\n{keys}\n{more}\n"
        )
        .unwrap();
        self.write(&self.text.clone());
        self
    }

    /// Replaces the content of the file.
    pub(crate) fn write(&self, text: &str) {
        // As an operator does it: a reader sees the old text or the new one.
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path()).unwrap();
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("issuers.toml")
    }
}

impl Auth {
    /// Starts a replica that trusts the issuers of a file.
    pub(crate) async fn start_trusting(file: &IssuersFile, arguments: &[&str]) -> Self {
        let path = file.path();
        let own = ["--issuers", path.to_str().unwrap()];
        Self::start_with(&[&own, arguments].concat()).await
    }

    /// Starts another replica on the same database.
    pub(crate) async fn another_trusting(&self, file: &IssuersFile, clock: Clock) -> Self {
        let path = file.path();
        Self::start_on(&self.database_url, clock, &["--issuers", path.to_str().unwrap()]).await
    }

    pub(crate) async fn exchange(&self, token: &str) -> Result<ExchangeResponse, Status> {
        self.exchange_as(token, None, false).await
    }

    pub(crate) async fn exchange_as(
        &self,
        token: &str,
        username: Option<&str>,
        refresh: bool,
    ) -> Result<ExchangeResponse, Status> {
        let (token, username) = (token.to_owned(), username.map(str::to_owned));
        let request = ExchangeRequest { token, username, client: None, refresh };
        Ok(self.grpc().exchange(request).await?.into_inner())
    }

    /// The claims of the person `subject` of the issuer `host`, which are valid now.
    pub(crate) fn claims(&self, subject: &str) -> Value {
        let now = self.clock.now().as_seconds();
        json!({
            "iss": identifier("host"),
            "aud": "parlance",
            "sub": subject,
            "preferred_username": subject,
            "iat": now,
            "exp": now + 300,
        })
    }
}

/// A replica that trusts one issuer, which has one key.
pub(crate) struct Trusting {
    pub(crate) auth: Auth,
    pub(crate) key: Key,
    pub(crate) issuer: Issuer,
    pub(crate) file: IssuersFile,
}

impl Trusting {
    /// Starts both, with more lines for the issuer.
    pub(crate) async fn start(more: &str) -> Self {
        Self::start_with(more, &[]).await
    }

    /// Starts both, also with more arguments for `auth serve`.
    pub(crate) async fn start_with(more: &str, arguments: &[&str]) -> Self {
        let key = Key::p256("first").unwrap();
        let issuer = Issuer::start(&[&key]).await.unwrap();
        let file = IssuersFile::new().with("host", &issuer, more);
        let auth = Auth::start_trusting(&file, arguments).await;
        Self { auth, key, issuer, file }
    }

    /// A token of a person, which is valid now.
    pub(crate) fn token(&self, subject: &str) -> String {
        self.key.token(&self.auth.claims(subject))
    }

    /// A token whose username claim is this text.
    pub(crate) fn token_with_name(&self, subject: &str, name: &str) -> String {
        let mut claims = self.auth.claims(subject);
        claims["preferred_username"] = name.into();
        self.key.token(&claims)
    }
}
