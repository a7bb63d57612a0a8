//! TLS for all connections between the processes of a stack.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::certificates::{Authority, CertificateFiles};

/// The host name in all certificates: every server listens there.
const HOST: &str = "127.0.0.1";

/// The authority of a stack and the folder with the certificates that it has signed.
pub(super) struct Encryption {
    authority: Authority,
    folder: PathBuf,
}

impl Encryption {
    /// Makes an authority whose certificates are stored below this folder.
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self { authority: Authority::new()?, folder: folder.join("certificates") })
    }

    /// Signs a certificate for a part, Postgres or Redis. It replaces an earlier one.
    pub(super) fn issue(&self, part: &str) -> anyhow::Result<CertificateFiles> {
        self.authority.issue(&self.folder.join(part), &[HOST])
    }

    /// The files of the certificate of a part.
    pub(super) fn files(&self, part: &str) -> CertificateFiles {
        CertificateFiles::in_folder(&self.folder.join(part))
    }

    /// The path of the certificate of the authority, as a client of a server needs it.
    pub(super) fn ca(&self, server: &str) -> String {
        self.files(server).ca.display().to_string()
    }

    /// The settings with the files of a part.
    pub(super) fn settings(&self, part: &str) -> [(&'static str, String); 3] {
        let files = self.files(part);
        [("GRPC_TLS_CERT", files.cert), ("GRPC_TLS_KEY", files.key), ("GRPC_TLS_CA", files.ca)]
            .map(|(name, path)| (name, path.display().to_string()))
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryption").field("folder", &self.folder).finish_non_exhaustive()
    }
}
