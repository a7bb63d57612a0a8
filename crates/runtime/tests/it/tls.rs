//! TLS between the parts: who is let in, who is believed, and what becomes of new certificates.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use parlance_devstack::certificates::{Authority, CertificateFiles};
use parlance_devstack::handshake::{certificate_shown_at, certificate_shown_to_stranger_at};
use parlance_runtime::Lifecycle;
use parlance_runtime::grpc::Credential;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tonic::Code;

use crate::support::{Server, ask, of_files, of_token};

const HOST: &str = "127.0.0.1";
/// Far above what reading files again takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time for the files to be read again at least once.
const A_WHILE: Duration = Duration::from_secs(5);

/// An authority, and the folder for what it issues.
struct Pki {
    authority: Authority,
    folder: TempDir,
}

impl Pki {
    fn new() -> Self {
        Self { authority: Authority::new().unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    /// A new certificate for a host, in place of the one of this name.
    fn issue(&self, name: &str, host: &str) -> CertificateFiles {
        self.authority.issue(&self.folder.path().join(name), &[host]).unwrap()
    }
}

#[tokio::test]
async fn parts_that_one_authority_vouches_for_talk_to_each_other() {
    let pki = Pki::new();
    let server = Server::start(&of_files(&pki.issue("server", HOST))).await;
    let client = server.client(&of_files(&pki.issue("client", "anything"))).await;
    assert_eq!(ask(&client).await, Ok(()));
}

#[tokio::test]
async fn who_shows_no_certificate_of_the_authority_is_refused() {
    let (pki, others) = (Pki::new(), Pki::new());
    let files = pki.issue("server", HOST);
    let server = Server::start(&of_files(&files)).await;

    let without_tls = server.client(&of_token("a-token-for-tests-only")).await;
    assert_eq!(ask(&without_tls).await, Err(Code::Unavailable));
    certificate_shown_to_stranger_at(server.address, &files.ca).await.unwrap_err();
    let foreign = CertificateFiles { ca: files.ca.clone(), ..others.issue("client", HOST) };
    certificate_shown_at(server.address, &foreign).await.unwrap_err();
    let with_foreign = server.client(&of_files(&foreign)).await;
    assert_eq!(ask(&with_foreign).await, Err(Code::Unavailable));

    let good = pki.issue("client", HOST);
    certificate_shown_at(server.address, &good).await.unwrap();
    assert_eq!(ask(&server.client(&of_files(&good)).await).await, Ok(()));
}

#[tokio::test]
async fn the_secret_is_demanded_beside_the_certificate() {
    let pki = Pki::new();
    let server = Server::start(&of_files(&pki.issue("server", HOST))).await;
    let mut credential = of_files(&pki.issue("client", HOST));
    credential.internal_token = "another-internal-token".into();
    assert_eq!(ask(&server.client(&credential).await).await, Err(Code::Unauthenticated));
}

#[tokio::test]
async fn a_server_is_believed_only_under_the_name_that_it_is_looked_for() {
    let (pki, others) = (Pki::new(), Pki::new());
    let client = of_files(&pki.issue("client", HOST));
    let server = Server::start(&of_files(&pki.issue("server", "localhost"))).await;
    assert_eq!(ask(&server.client(&client).await).await, Err(Code::Unavailable));
    let by_name = server.client_of(&format!("localhost:{}", server.address.port()), &client).await;
    assert_eq!(ask(&by_name).await, Ok(()));

    let trusting = pki.issue("trusting", HOST);
    let foreign = CertificateFiles { ca: trusting.ca, ..others.issue("server", HOST) };
    let impostor = Server::start(&of_files(&foreign)).await;
    assert_eq!(ask(&impostor.client(&client).await).await, Err(Code::Unavailable));
}

#[tokio::test]
async fn who_says_nothing_keeps_nobody_waiting_and_is_sent_away() {
    let pki = Pki::new();
    let server = Server::start(&of_files(&pki.issue("server", HOST))).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let client = server.client(&of_files(&pki.issue("client", HOST))).await;
    let begin = Instant::now();
    assert_eq!(ask(&client).await, Ok(()));
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    for mut stream in silent {
        assert_eq!(timeout(PATIENCE, stream.read(&mut [0])).await.unwrap().unwrap_or(0), 0);
    }
}

/// Waits until a server shows another certificate than this one; the other one.
async fn other_certificate(server: &Server, files: &CertificateFiles, shown: &[u8]) -> Vec<u8> {
    let begin = Instant::now();
    loop {
        let now = certificate_shown_at(server.address, files).await.unwrap();
        if now != shown {
            return now;
        }
        assert!(begin.elapsed() < PATIENCE, "the old certificate is still shown");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_server_shows_new_certificates_to_who_comes_and_goes_on_with_who_is_there() {
    let pki = Pki::new();
    let server = Server::start(&of_files(&pki.issue("server", HOST))).await;
    let files = pki.issue("client", HOST);
    let client = server.client(&of_files(&files)).await;
    assert_eq!(ask(&client).await, Ok(()));
    let first = certificate_shown_at(server.address, &files).await.unwrap();

    let new_files = pki.issue("server", HOST);
    let second = other_certificate(&server, &files, &first).await;
    assert_eq!(ask(&client).await, Ok(()));

    // A certificate that does not fit its key, and one that is none.
    for useless in [fs::read(&files.cert).unwrap(), b"nothing".to_vec()] {
        fs::write(&new_files.cert, useless).unwrap();
        let begin = Instant::now();
        while begin.elapsed() < A_WHILE {
            assert_eq!(certificate_shown_at(server.address, &files).await.unwrap(), second);
            sleep(Duration::from_millis(100)).await;
        }
    }
    pki.issue("server", HOST);
    other_certificate(&server, &files, &second).await;
    assert_eq!(ask(&client).await, Ok(()));
}

#[tokio::test]
async fn a_client_shows_and_believes_what_is_in_its_files_when_it_connects() {
    let (pki, others) = (Pki::new(), Pki::new());
    let server = Server::start(&of_files(&pki.issue("server", HOST))).await;
    let files = others.issue("client", HOST);
    let client = server.client(&of_files(&files)).await;
    assert_eq!(ask(&client).await, Err(Code::Unavailable));

    let folder = files.cert.parent().unwrap();
    pki.authority.issue(folder, &[HOST]).unwrap();
    let begin = Instant::now();
    while ask(&client).await.is_err() {
        assert!(begin.elapsed() < PATIENCE, "the new files do not count");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_at_start() {
    let pki = Pki::new();
    let (lifecycle, _shutdown) = Lifecycle::new(Duration::from_secs(1));
    let good = pki.issue("good", HOST);
    let garbage = pki.folder.path().join("garbage.pem");
    fs::write(&garbage, "nothing").unwrap();
    let missing = Path::new("/nowhere/ca.pem").to_owned();
    for (files, told) in [
        (CertificateFiles { cert: garbage.clone(), ..good.clone() }, "GRPC_TLS_CERT"),
        (CertificateFiles { key: garbage.clone(), ..good.clone() }, "GRPC_TLS_KEY"),
        (CertificateFiles { ca: garbage, ..good.clone() }, "GRPC_TLS_CA"),
        (CertificateFiles { ca: missing, ..good.clone() }, "/nowhere/ca.pem"),
        (CertificateFiles { key: pki.issue("other", HOST).key, ..good.clone() }, "GRPC_TLS_KEY"),
    ] {
        let error = format!("{:#}", Credential::start(&of_files(&files), &lifecycle).unwrap_err());
        assert!(error.contains(told), "{error}");
    }
    Credential::start(&of_files(&good), &lifecycle).unwrap();
}
