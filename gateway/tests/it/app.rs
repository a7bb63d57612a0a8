//! A gateway in this process whose services are unreachable.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use parlance_core::Clock;
use parlance_gateway::Config;
use parlance_runtime::Lifecycle;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::auth_double::AuthDouble;

pub(crate) const ORIGIN: &str = "http://localhost:3000";
/// A token with the header of auth's tokens and an unknown key.
pub(crate) const FOREIGN_TOKEN: &str =
    "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0.e30.AAAA";

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: Config,
}

pub(crate) struct TestGateway {
    pub(crate) address: SocketAddr,
    pub(crate) lifecycle: Lifecycle,
    client: reqwest::Client,
}

impl TestGateway {
    pub(crate) async fn start() -> Self {
        Self::start_with_settings(&[]).await
    }

    pub(crate) async fn start_with_services_at(address: SocketAddr, services: &str) -> Self {
        Self::start_with(address, services, &[]).await
    }

    /// Starts a gateway with more settings, given as flags.
    pub(crate) async fn start_with_settings(settings: &[&str]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], parlance_devstack::free_port().unwrap()));
        let nowhere = format!("127.0.0.1:{}", parlance_devstack::free_port().unwrap());
        Self::start_with(address, &nowhere, settings).await
    }

    /// Starts a gateway that has its stream from auth, and waits until it knows what has ended. The
    /// other services are unreachable.
    pub(crate) async fn start_with_stream() -> Self {
        Self::start_with_auth(&AuthDouble::start().await, &[]).await
    }

    /// The same with this auth service, and with more settings, given as flags.
    pub(crate) async fn start_with_auth(auth: &AuthDouble, settings: &[&str]) -> Self {
        let auth = format!("--auth-addresses={}", auth.address);
        let gateway = Self::start_with_settings(&[&[auth.as_str()], settings].concat()).await;
        let has_stream = async {
            // A connection of its own for each look: tests count connections.
            let look =
                || gateway.request("GET", "/.well-known/jwks.json").header("connection", "close");
            while look().send().await.unwrap().status() != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), has_stream).await.unwrap();
        gateway
    }

    async fn start_with(address: SocketAddr, services: &str, settings: &[&str]) -> Self {
        let arguments = [
            "gateway",
            "--internal-token=0123456789abcdef",
            &format!("--listen={address}"),
            &format!("--contacts-addresses={services}"),
            &format!("--rooms-addresses={services}"),
            &format!("--messaging-addresses={services}"),
            "--upstream-deadline=1",
            "--password-deadline=1",
        ];
        let auth = format!("--auth-addresses={services}");
        let is_given = settings.iter().any(|setting| setting.starts_with("--auth-addresses"));
        let auth = (!is_given).then_some(auth.as_str());
        let arguments = arguments.into_iter().chain(auth).chain(settings.iter().copied());
        let config = Cli::parse_from(arguments).config;
        let (lifecycle, _) = Lifecycle::new(Duration::from_secs(1));
        parlance_gateway::start(config, Clock::system(), &lifecycle).await.unwrap();
        let client =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { address, lifecycle, client }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request("GET", path).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.request("POST", path).header("content-type", "application/json");
        request.body(body).send().await.unwrap()
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a new connection and reads until the gateway closes it.
    pub(crate) async fn send_raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }
}

/// Checks the status, the code and the shape of an error, and returns its body.
pub(crate) async fn assert_error(response: Response, status: u16, code: &str) -> Value {
    let (url, actual) = (response.url().clone(), response.status());
    assert!(response.headers().contains_key("x-request-id"), "{url}");
    let body: Value = response.json().await.unwrap();
    assert_eq!((actual.as_u16(), &body["code"]), (status, &Value::from(code)), "{url} {body}");
    assert_eq!(body["detail"].is_array(), status == 422, "{url} {body}");
    assert_eq!(body.get("request_id").is_some(), status >= 500, "{url} {body}");
    body
}
