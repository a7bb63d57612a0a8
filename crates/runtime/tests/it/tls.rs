//! Mutual TLS between the programs: which peers are accepted, and how new certificates are loaded.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use parlance_devstack::certificates::{Authority, CertificateFiles};
use parlance_runtime::Lifecycle;
use parlance_runtime::grpc::Credential;
use parlance_testkit::{server_certificate, server_certificate_without_client_certificate};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tonic::Code;

use crate::support::{Server, call, with_files, with_token};

const HOST: &str = "127.0.0.1";
/// Far above the interval at which the files are read.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Enough for the files to be read again at least once.
const RELOAD_TIME: Duration = Duration::from_secs(5);

/// An authority, and the folder for what it issues.
struct Pki {
    authority: Authority,
    folder: TempDir,
}

impl Pki {
    fn new() -> Self {
        Self { authority: Authority::new().unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    /// Issues a certificate for a host. It replaces the certificate of this name.
    fn issue(&self, name: &str, host: &str) -> CertificateFiles {
        self.authority.issue(&self.folder.path().join(name), &[host]).unwrap()
    }
}

#[tokio::test]
async fn programs_with_certificates_of_one_authority_can_call_each_other() {
    let pki = Pki::new();
    let server = Server::start(&with_files(&pki.issue("server", HOST))).await;
    let client = server.client(&with_files(&pki.issue("client", "anything"))).await;
    assert_eq!(call(&client).await, Ok(()));
}

#[tokio::test]
async fn a_peer_without_a_certificate_of_the_authority_is_refused() {
    let (pki, others) = (Pki::new(), Pki::new());
    let files = pki.issue("server", HOST);
    let server = Server::start(&with_files(&files)).await;

    let without_tls = server.client(&with_token("a-token-for-tests-only")).await;
    assert_eq!(call(&without_tls).await, Err(Code::Unavailable));
    server_certificate_without_client_certificate(server.address, &files.ca).await.unwrap_err();
    let foreign = CertificateFiles { ca: files.ca.clone(), ..others.issue("client", HOST) };
    server_certificate(server.address, &foreign).await.unwrap_err();
    let with_foreign = server.client(&with_files(&foreign)).await;
    assert_eq!(call(&with_foreign).await, Err(Code::Unavailable));

    let good = pki.issue("client", HOST);
    server_certificate(server.address, &good).await.unwrap();
    assert_eq!(call(&server.client(&with_files(&good)).await).await, Ok(()));
}

#[tokio::test]
async fn the_token_is_required_in_addition_to_the_certificate() {
    let pki = Pki::new();
    let server = Server::start(&with_files(&pki.issue("server", HOST))).await;
    let mut credential = with_files(&pki.issue("client", HOST));
    credential.internal_token = "another-internal-token".into();
    assert_eq!(call(&server.client(&credential).await).await, Err(Code::Unauthenticated));
}

#[tokio::test]
async fn the_certificate_of_a_server_must_have_the_name_that_the_client_connects_to() {
    let (pki, others) = (Pki::new(), Pki::new());
    let client = with_files(&pki.issue("client", HOST));
    let server = Server::start(&with_files(&pki.issue("server", "localhost"))).await;
    assert_eq!(call(&server.client(&client).await).await, Err(Code::Unavailable));
    let by_name =
        server.client_by_name(&format!("localhost:{}", server.address.port()), &client).await;
    assert_eq!(call(&by_name).await, Ok(()));

    let trusting = pki.issue("trusting", HOST);
    let foreign = CertificateFiles { ca: trusting.ca, ..others.issue("server", HOST) };
    let impostor = Server::start(&with_files(&foreign)).await;
    assert_eq!(call(&impostor.client(&client).await).await, Err(Code::Unavailable));
}

#[tokio::test]
async fn a_silent_peer_delays_no_other_and_is_disconnected() {
    let pki = Pki::new();
    let server = Server::start(&with_files(&pki.issue("server", HOST))).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let client = server.client(&with_files(&pki.issue("client", HOST))).await;
    let begin = Instant::now();
    assert_eq!(call(&client).await, Ok(()));
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    for mut stream in silent {
        assert_eq!(timeout(TEST_TIMEOUT, stream.read(&mut [0])).await.unwrap().unwrap_or(0), 0);
    }
}

/// Waits until a server presents another certificate than `old`, and returns it.
async fn next_certificate(server: &Server, files: &CertificateFiles, old: &[u8]) -> Vec<u8> {
    let begin = Instant::now();
    loop {
        let now = server_certificate(server.address, files).await.unwrap();
        if now != old {
            return now;
        }
        assert!(begin.elapsed() < TEST_TIMEOUT, "the old certificate is still presented");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_server_presents_new_certificates_to_new_connections_and_keeps_the_old_connections() {
    let pki = Pki::new();
    let server = Server::start(&with_files(&pki.issue("server", HOST))).await;
    let files = pki.issue("client", HOST);
    let client = server.client(&with_files(&files)).await;
    assert_eq!(call(&client).await, Ok(()));
    let first = server_certificate(server.address, &files).await.unwrap();

    let new_files = pki.issue("server", HOST);
    let second = next_certificate(&server, &files, &first).await;
    assert_eq!(call(&client).await, Ok(()));

    // A certificate that does not match its key, and a file that is no certificate.
    for useless in [fs::read(&files.cert).unwrap(), b"nothing".to_vec()] {
        fs::write(&new_files.cert, useless).unwrap();
        let begin = Instant::now();
        while begin.elapsed() < RELOAD_TIME {
            assert_eq!(server_certificate(server.address, &files).await.unwrap(), second);
            sleep(Duration::from_millis(100)).await;
        }
    }
    pki.issue("server", HOST);
    next_certificate(&server, &files, &second).await;
    assert_eq!(call(&client).await, Ok(()));
}

#[tokio::test]
async fn a_client_uses_the_certificates_in_its_files_when_it_connects() {
    let (pki, others) = (Pki::new(), Pki::new());
    let server = Server::start(&with_files(&pki.issue("server", HOST))).await;
    let files = others.issue("client", HOST);
    let client = server.client(&with_files(&files)).await;
    assert_eq!(call(&client).await, Err(Code::Unavailable));

    let folder = files.cert.parent().unwrap();
    pki.authority.issue(folder, &[HOST]).unwrap();
    let begin = Instant::now();
    while call(&client).await.is_err() {
        assert!(begin.elapsed() < TEST_TIMEOUT, "the new files are not used");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_unusable_file_is_named_at_start() {
    let pki = Pki::new();
    let (lifecycle, _shutdown) = Lifecycle::new(Duration::from_secs(1));
    let good = pki.issue("good", HOST);
    let garbage = pki.folder.path().join("garbage.pem");
    fs::write(&garbage, "nothing").unwrap();
    let missing = Path::new("/nowhere/ca.pem").to_owned();
    for (files, named) in [
        (CertificateFiles { cert: garbage.clone(), ..good.clone() }, "GRPC_TLS_CERT"),
        (CertificateFiles { key: garbage.clone(), ..good.clone() }, "GRPC_TLS_KEY"),
        (CertificateFiles { ca: garbage, ..good.clone() }, "GRPC_TLS_CA"),
        (CertificateFiles { ca: missing, ..good.clone() }, "/nowhere/ca.pem"),
        (CertificateFiles { key: pki.issue("other", HOST).key, ..good.clone() }, "GRPC_TLS_KEY"),
    ] {
        let error =
            format!("{:#}", Credential::start(&with_files(&files), &lifecycle).unwrap_err());
        assert!(error.contains(named), "{error}");
    }
    Credential::start(&with_files(&good), &lifecycle).unwrap();
}
