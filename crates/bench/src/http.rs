//! One HTTP/1.1 connection that is kept for all requests of a load.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bounds the connection attempt and each exchange.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The body of a request.
pub(crate) type Body = Full<Bytes>;

/// An open connection.
pub struct HttpConnection {
    requests: SendRequest<Body>,
    /// Reads and writes while an exchange is in flight.
    connection: Pin<Box<http1::Connection<TokioIo<TcpStream>, Body>>>,
}

impl HttpConnection {
    /// Connects to a server.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = timeout(TIMEOUT, TcpStream::connect(address)).await;
        let stream = stream.context("the server did not accept the connection")??;
        stream.set_nodelay(true)?;
        let (requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { requests, connection: Box::pin(connection) })
    }

    /// Sends a request and returns the body of the response, whose status must be 200.
    pub async fn exchange(&mut self, request: Request<Body>) -> anyhow::Result<Bytes> {
        let requests = &mut self.requests;
        let exchanging = async {
            requests.ready().await?;
            let response = requests.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            ensure!(
                status == StatusCode::OK,
                "answered with {status}: {}",
                String::from_utf8_lossy(&body)
            );
            Ok(body)
        };
        let exchanged = timeout(TIMEOUT, async {
            tokio::select! {
                body = exchanging => body,
                ended = &mut self.connection => {
                    ended?;
                    bail!("the connection has ended")
                }
            }
        });
        exchanged.await.context("the server did not answer")?
    }
}

/// Returns a request with an access token.
pub fn get(path: &str, token: &str) -> anyhow::Result<Request<Body>> {
    let request = Request::get(path).header(HOST, "localhost");
    Ok(request.header(AUTHORIZATION, format!("Bearer {token}")).body(Body::default())?)
}

/// Returns a request with a JSON body.
pub fn post(path: &str, body: String) -> anyhow::Result<Request<Body>> {
    let request = Request::post(path).header(HOST, "localhost");
    Ok(request.header(CONTENT_TYPE, "application/json").body(body.into())?)
}
