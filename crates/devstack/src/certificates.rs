//! Certificates for private servers, and the authority that signs them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::secrets::write_secret;
use crate::user::User;

/// A certificate authority. Only clients that are given its certificate trust it.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The paths of a certificate, its key and the certificate of its authority, in PEM.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The certificate; servers and clients may use it.
    pub cert: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// The certificate of the authority.
    pub ca: PathBuf,
}

impl Authority {
    /// Makes an authority with a new key.
    pub fn new() -> anyhow::Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "Parlance on one machine");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?))
    }

    /// Signs a new certificate for these hosts (names or addresses) and writes it to a folder. An
    /// earlier certificate there is overwritten.
    pub fn issue(&self, folder: &Path, hosts: &[&str]) -> anyhow::Result<CertificateFiles> {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut parameters = CertificateParams::new(hosts)?;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.0)?;

        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let files = CertificateFiles::in_folder(folder);
        write_secret(&files.cert, &certificate.pem())?;
        write_secret(&files.key, &key.serialize_pem())?;
        write_secret(&files.ca, &self.0.pem())?;
        Ok(files)
    }
}

impl CertificateFiles {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let file = |name| folder.join(name);
        Self { cert: file("cert.pem"), key: file("key.pem"), ca: file("ca.pem") }
    }

    /// Makes the files readable for the user that servers run as.
    pub(crate) fn give_to_servers(&self) -> anyhow::Result<()> {
        let Some(user) = User::for_servers()? else { return Ok(()) };
        [&self.cert, &self.key, &self.ca].into_iter().try_for_each(|file| user.give(file))
    }
}
