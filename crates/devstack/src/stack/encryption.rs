//! TLS for all connections between the processes of a stack.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::certificates::{Authority, CertificateFiles};

/// The host that everybody serves on, as callers name it.
const HOST: &str = "127.0.0.1";

/// The authority of a stack, and where the certificates are that it has issued.
pub(super) struct Encryption {
    authority: Authority,
    folder: PathBuf,
}

impl Encryption {
    /// With files below this folder.
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self { authority: Authority::new()?, folder: folder.join("certificates") })
    }

    /// Makes a new certificate for a part, Postgres or Redis, in place of the one it has.
    pub(super) fn issue(&self, part: &str) -> anyhow::Result<CertificateFiles> {
        self.authority.issue(&self.folder.join(part), &[HOST])
    }

    /// Where the files are that were issued for a part.
    pub(super) fn files_of(&self, part: &str) -> CertificateFiles {
        CertificateFiles::in_folder(&self.folder.join(part))
    }

    /// The file with the authority that a server's certificate is of.
    pub(super) fn ca_of(&self, server: &str) -> String {
        self.files_of(server).ca.display().to_string()
    }

    /// The settings that tell a part of its files.
    pub(super) fn settings_of(&self, part: &str) -> [(&'static str, String); 3] {
        let files = self.files_of(part);
        [("GRPC_TLS_CERT", files.cert), ("GRPC_TLS_KEY", files.key), ("GRPC_TLS_CA", files.ca)]
            .map(|(name, path)| (name, path.display().to_string()))
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryption").field("folder", &self.folder).finish_non_exhaustive()
    }
}
