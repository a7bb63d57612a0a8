//! A client that sends bytes as they are, and checks each answer.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::app::{ORIGIN, TestGateway};

/// Longer than any timeout of a gateway that a case waits for.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A connection to a gateway.
pub(super) struct Wire {
    stream: BufReader<TcpStream>,
    /// What was sent, for messages and for checks that depend on the request.
    sent: String,
}

/// An answer, with the names of its fields in lower case.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: HashMap<String, String>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    pub(super) fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        body["code"].as_str().unwrap().to_owned()
    }

    fn is_last(&self) -> bool {
        self.field("connection").contains("close")
    }
}

impl Wire {
    pub(super) async fn open(gateway: &TestGateway) -> Self {
        Self { stream: BufReader::new(gateway.connect().await), sent: String::new() }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.sent.push_str(&String::from_utf8_lossy(bytes));
        self.stream.get_mut().write_all(bytes).await.unwrap();
    }

    /// Ends the client's side of the connection.
    pub(super) async fn half_close(&mut self) {
        self.stream.get_mut().shutdown().await.unwrap();
    }

    /// Reads an answer and checks what every answer must have.
    pub(super) async fn answer(&mut self) -> Answer {
        let answer = tokio::time::timeout(TIMEOUT, self.read_answer()).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer to {}", self.start_of_sent()));
        self.check(&answer);
        answer
    }

    /// Reads the end of the connection. Nothing may come before it.
    pub(super) async fn end(mut self) {
        let mut rest = Vec::new();
        let reading = tokio::time::timeout(TIMEOUT, self.stream.read_to_end(&mut rest));
        let read = reading.await.unwrap_or_else(|_| panic!("open: {}", self.start_of_sent()));
        read.unwrap_or_else(|error| panic!("{error} after {}", self.start_of_sent()));
        assert!(rest.is_empty(), "{} after {}", rest.escape_ascii(), self.start_of_sent());
    }

    /// Reads whatever a socket sends until it ends.
    pub(super) async fn end_of_socket(mut self) {
        let mut frames = Vec::new();
        let reading = tokio::time::timeout(TIMEOUT, self.stream.read_to_end(&mut frames));
        reading.await.unwrap().unwrap();
    }

    fn start_of_sent(&self) -> String {
        self.sent.chars().take(300).flat_map(char::escape_debug).collect()
    }

    async fn read_line(&mut self) -> String {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await;
        let length = read.unwrap_or_else(|error| panic!("{error} after {}", self.start_of_sent()));
        assert!(length > 0, "ended instead of an answer to {}", self.start_of_sent());
        line.trim_end().to_owned()
    }

    async fn read_answer(&mut self) -> Answer {
        let status_line = self.read_line().await;
        let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut fields = HashMap::new();
        loop {
            let line = self.read_line().await;
            let Some((name, value)) = line.split_once(':') else { break };
            let is_new = fields.insert(name.to_lowercase(), value.trim().to_owned()).is_none();
            assert!(is_new, "two lines {name} in the answer to {}", self.start_of_sent());
        }
        let has_body = status >= 200 && status != 204 && !self.sent.starts_with("HEAD");
        let length = fields.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; if has_body { length } else { 0 }];
        self.stream.read_exact(&mut body).await.unwrap();
        Answer { status, fields, body: String::from_utf8(body).unwrap() }
    }

    /// Checks the fields that every answer has, and the shape of errors.
    fn check(&self, answer: &Answer) {
        let (sent, fields) = (self.start_of_sent(), &answer.fields);
        if answer.status < 200 {
            return;
        }
        assert!(!answer.field("x-request-id").is_empty(), "{sent}: {fields:?}");
        assert!(answer.field("date").ends_with(" GMT"), "{sent}: {fields:?}");
        assert!(!fields.contains_key("server"), "{sent}: {fields:?}");
        assert_eq!(answer.field("vary"), "Origin", "{sent}: {fields:?}");
        let allowed = if self.sent.contains(ORIGIN) { ORIGIN } else { "" };
        assert_eq!(answer.field("access-control-allow-origin"), allowed, "{sent}: {fields:?}");
        let is_kept = answer.field("keep-alive") == "timeout=75"
            && answer.field("connection").ends_with("keep-alive");
        // An answer to a chunked request announces nothing if the connection lives on.
        let may_say_nothing = self.sent.contains("transfer-encoding") || answer.status == 101;
        assert!(is_kept != answer.is_last() || may_say_nothing, "{sent}: {fields:?}");
        if answer.status >= 400 && !self.sent.starts_with("HEAD") {
            assert_eq!(answer.field("content-type"), "application/json", "{sent}: {fields:?}");
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            assert!(body["code"].is_string() && !body["detail"].is_null(), "{sent}: {body}");
            assert_eq!(body.get("request_id").is_some(), answer.status >= 500, "{sent}: {body}");
        }
        if answer.status == 405 {
            assert!(!answer.field("allow").is_empty(), "{sent}: {fields:?}");
        }
    }
}

/// Sends bytes on a new connection and checks the statuses of the answers. The connection must end
/// exactly if the last answer says so. Returns the last answer.
pub(super) async fn exchange(gateway: &TestGateway, sent: &[u8], statuses: &[u16]) -> Answer {
    let mut wire = Wire::open(gateway).await;
    wire.send(sent).await;
    let mut answer = None;
    for &status in statuses {
        let next = wire.answer().await;
        assert_eq!(next.status, status, "{} {}", wire.start_of_sent(), next.body);
        answer = Some(next);
    }
    let answer = answer.unwrap();
    if answer.is_last() {
        wire.end().await;
    }
    answer
}

/// Sends each case on a connection of its own, to one gateway.
pub(super) async fn check_all<Sent: AsRef<[u8]>>(cases: impl IntoIterator<Item = (Sent, u16)>) {
    let gateway = TestGateway::start().await;
    for (sent, status) in cases {
        exchange(&gateway, sent.as_ref(), &[status]).await;
    }
}

/// Returns a GET request with a target and more lines in its head.
pub(super) fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: a\r\n{lines}\r\n")
}
