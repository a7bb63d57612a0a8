//! The load balancer of Compose, HAProxy, before a gateway. Without HAProxy on this machine the
//! tests say so and pass; `make test-compose` always has it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use parlance_devstack::{TemporaryFolder, free_port};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::app::{ORIGIN, TestGateway};

const CONFIGURATION: &str = include_str!("../../../deploy/loadbalancer/haproxy.cfg");
const OTHER_ORIGIN: &str = "https://chat.example";

/// A running HAProxy. It ends when it is dropped.
struct LoadBalancer {
    process: Child,
    port: u16,
    _folder: TemporaryFolder,
}

impl LoadBalancer {
    /// Starts HAProxy before one server. Returns `None` if it is not installed.
    async fn start(server: &str) -> Option<Self> {
        let Some(program) = find_haproxy() else {
            eprintln!("SKIPPED: no haproxy here");
            return None;
        };
        let (port, folder) = (free_port().unwrap(), TemporaryFolder::new().unwrap());
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, configuration(port, server)).unwrap();
        let process = Command::new(program)
            .args(["-db", "-f"])
            .arg(file)
            .env("CORS_ALLOWED_ORIGINS", format!("{ORIGIN} {OTHER_ORIGIN}"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let balancer = Self { process, port, _folder: folder };
        let listens = async {
            while balancer.connect().await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), listens).await.unwrap();
        Some(balancer)
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.port)).await
    }

    fn get(&self, path: &str) -> RequestBuilder {
        reqwest::Client::new().get(format!("http://127.0.0.1:{}{path}", self.port))
    }

    /// Sends bytes and reads the answer to its end.
    async fn send_raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = String::new();
        let reading = stream.read_to_string(&mut answer);
        tokio::time::timeout(Duration::from_secs(10), reading).await.unwrap().unwrap();
        answer
    }
}

impl Drop for LoadBalancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn find_haproxy() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.map(|folder| folder.join("haproxy")).find(|program| program.is_file())
}

/// The configuration of Compose, with other ports, short timeouts and one server that is always up.
fn configuration(port: u16, server: &str) -> String {
    let mut text = CONFIGURATION.to_owned();
    for (from, to) in [
        ("bind :8000", format!("bind 127.0.0.1:{port}")),
        ("bind 127.0.0.1:8001", format!("bind 127.0.0.1:{}", free_port().unwrap())),
        ("timeout http-request 15s", "timeout http-request 1s".to_owned()),
        ("timeout server 30s", "timeout server 1s".to_owned()),
        ("server-template gateway 20 gateway:8000", format!("server gateway {server}")),
    ] {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, &to);
    }
    let lines = text
        .lines()
        .filter(|line| !line.contains("default-server check") && !line.contains("option httpchk"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// A server that accepts connections and, after it has read something, closes or keeps them.
async fn useless_server(is_silent: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = async move {
        let mut kept = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            if is_silent {
                kept.push(stream);
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "the task ends with the test")]
    tokio::spawn(serve);
    address
}

fn field<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Checks an answer of the load balancer itself.
async fn check(response: Response, status: u16, origin: &str, id: Option<&str>) {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(field(&response, "content-type"), "application/json");
    assert_eq!(field(&response, "retry-after"), "1");
    assert_eq!(field(&response, "vary"), "Origin");
    assert_eq!(field(&response, "x-content-type-options"), "nosniff");
    assert_eq!(field(&response, "referrer-policy"), "no-referrer");
    assert_eq!(field(&response, "strict-transport-security"), "");
    assert_eq!(field(&response, "access-control-allow-origin"), origin);
    let credentials = if origin.is_empty() { "" } else { "true" };
    assert_eq!(field(&response, "access-control-allow-credentials"), credentials);
    assert_eq!(response.headers().get_all("x-request-id").iter().count(), 1);
    let header = field(&response, "x-request-id").to_owned();
    assert!(id.map_or(header.len() == 36, |id| id == header), "{header}");
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["code"], &body["request_id"]), (&"unavailable".into(), &header.into()));
    assert!(body["detail"].is_string(), "{body}");
}

#[tokio::test]
async fn its_own_errors_look_like_those_of_a_gateway() {
    let nowhere = format!("127.0.0.1:{}", free_port().unwrap());
    for (server, status) in
        [(nowhere, 503), (useless_server(false).await, 502), (useless_server(true).await, 504)]
    {
        let Some(balancer) = LoadBalancer::start(&server).await else { return };
        let get = || balancer.get("/v1/healthz");
        check(get().send().await.unwrap(), status, "", None).await;
        for origin in [ORIGIN, OTHER_ORIGIN] {
            let request = get().header("origin", origin).header("x-request-id", "my-id.1");
            check(request.send().await.unwrap(), status, origin, Some("my-id.1")).await;
        }
        let by_tls = get().header("x-forwarded-proto", "https").send().await.unwrap();
        assert_eq!(field(&by_tls, "strict-transport-security"), "max-age=31536000");
        let foreign = get().header("origin", "http://evil.example");
        check(foreign.header("x-request-id", "not valid").send().await.unwrap(), status, "", None)
            .await;
    }
}

#[tokio::test]
async fn answers_of_a_gateway_pass_unchanged() {
    let gateway = TestGateway::start().await;
    let Some(balancer) = LoadBalancer::start(&gateway.address.to_string()).await else { return };
    for (path, status) in [("/v1/healthz", 200), ("/v1/nothing", 404), ("/v1/%zz", 400)] {
        let request = balancer.get(path).header("origin", ORIGIN).header("x-request-id", "my-id.1");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        for (name, value) in [
            ("x-request-id", "my-id.1"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("vary", "Origin"),
            ("access-control-allow-origin", ORIGIN),
            ("access-control-allow-credentials", "true"),
        ] {
            assert_eq!(response.headers().get_all(name).iter().count(), 1, "{name}");
            assert_eq!(field(&response, name), value);
        }
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_by_the_gateway() {
    let gateway = TestGateway::start().await;
    let Some(balancer) = LoadBalancer::start(&gateway.address.to_string()).await else { return };
    let large = "a".repeat(66 << 10);
    let many = "x: a\r\n".repeat(150);
    for (head, status) in [
        (format!("GET /{} HTTP/1.1\r\nhost: a\r\n", &large[..20_000]), "414"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {large}\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{many}"), "431"),
    ] {
        let request = format!("{head}origin: {ORIGIN}\r\nconnection: close\r\n\r\n");
        let answer = balancer.send_raw(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("\r\nx-request-id: "), "{answer}");
    }
}
