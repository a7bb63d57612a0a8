//! HTTP/1.1 over one connection: a request that was written before, and an answer whose length is
//! in its head.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a server may take for one answer.
const DEADLINE: Duration = Duration::from_secs(30);
const CHUNK: usize = 16 << 10;
/// More than any answer here has.
const LONGEST_HEAD: usize = 16 << 10;
const LONGEST_BODY: usize = 16 << 20;

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct HttpConnection {
    stream: TcpStream,
    buffer: BytesMut,
}

impl HttpConnection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = timeout(DEADLINE, TcpStream::connect(address)).await;
        let stream = stream.context("the server did not answer")??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(CHUNK) })
    }

    /// The body of the answer, which must be 200.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Bytes> {
        let exchanging = timeout(DEADLINE, self.exchange_in_time(request)).await;
        exchanging.context("the server did not answer")?
    }

    async fn exchange_in_time(&mut self, request: &[u8]) -> anyhow::Result<Bytes> {
        self.stream.write_all(request).await?;
        loop {
            if let Some(Head { length, body }) = parse_head(&self.buffer)?
                && self.buffer.len() >= length + body
            {
                self.buffer.advance(length);
                return Ok(self.buffer.split_to(body).freeze());
            }
            self.buffer.reserve(CHUNK);
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection has ended");
        }
    }
}

/// A request of somebody for something, ready to be written again and again.
pub(crate) fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n")
        .into_bytes()
}

/// A request with a JSON body, ready to be written again and again.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The lengths of both parts of an answer.
#[derive(Debug, PartialEq)]
struct Head {
    length: usize,
    body: usize,
}

/// Nothing as long as the head is not complete.
fn parse_head(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        ensure!(bytes.len() < LONGEST_HEAD, "not an HTTP answer");
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end])?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "answered with {}", String::from_utf8_lossy(bytes));
    let is_length = |line: &&str| {
        line.split_once(':').is_some_and(|(name, _)| name.eq_ignore_ascii_case("content-length"))
    };
    let line = head.lines().find(is_length).context("an answer without a length")?;
    let body = line.split_once(':').context("a header has a colon")?.1.trim().parse()?;
    ensure!(body <= LONGEST_BODY, "an answer of {body} bytes");
    Ok(Some(Head { length: end + 4, body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_its_head_says() {
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-LENGTH:  5\r\n\r\nhello and more";
        assert_eq!(parse_head(answer).unwrap(), Some(Head { length: answer.len() - 14, body: 5 }));
        assert_eq!(parse_head(&answer[..40]).unwrap(), None);
    }

    #[test]
    fn anything_but_200_with_a_length_is_an_error() {
        let refused = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
        assert!(parse_head(refused).unwrap_err().to_string().contains("429"));
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(parse_head(&[b'x'; LONGEST_HEAD]).is_err());
    }
}
