//! The length of a body (RFC 9112 6 and 7).

use crate::app::TestGateway;

use super::wire::{Wire, check_all, exchange};

/// The status of a request whose body was read: it lacks members.
const READ: u16 = 422;

/// Returns a registration with these lines in its head and these bytes after it.
fn post(lines: &str, body: &str) -> String {
    let line = "POST /v1/auth/register HTTP/1.1";
    format!("{line}\r\nhost: a\r\ncontent-type: application/json\r\n{lines}\r\n{body}")
}

fn with_length(length: &str) -> String {
    post(&format!("content-length: {length}\r\n"), "{}")
}

fn with_coding(coding: &str, body: &str) -> String {
    post(&format!("transfer-encoding: {coding}\r\n"), body)
}

fn chunked(body: &str) -> String {
    with_coding("chunked", body)
}

const CHUNKS: &str = "2\r\n{}\r\n0\r\n\r\n";

#[tokio::test]
async fn a_content_length_is_a_number() {
    check_all([
        (with_length("2"), READ),
        (with_length("0002"), READ),
        (post("", ""), READ),
        (post("content-length: 0\r\n", ""), READ),
        (post("content-length: 2\r\ncontent-length: 2\r\n", "{}"), READ),
        (post("content-length: 2\r\ncontent-length: 3\r\n", "{} "), 400),
        (post("content-length: 2\r\ncontent-length: x\r\n", "{}"), 400),
        (with_length(""), 400),
        (with_length("+2"), 400),
        (with_length("-2"), 400),
        (with_length("2.0"), 400),
        (with_length("0x2"), 400),
        (with_length("2a"), 400),
        (with_length("2 2"), 400),
        (with_length("1e1"), 400),
        (with_length("two"), 400),
        (with_length("99999999999999999999999"), 400),
        ("GET /v1/healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}".to_owned(), 200),
    ])
    .await;
}

#[tokio::test]
async fn a_chunked_body_ends_with_an_empty_chunk() {
    check_all([
        (chunked(CHUNKS), READ),
        (chunked("1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"), READ),
        (chunked("002\r\n{}\r\n000\r\n\r\n"), READ),
        (chunked("2;name=value\r\n{}\r\n0\r\n\r\n"), READ),
        (chunked("A\r\n{        }\r\n0\r\n\r\n"), READ),
        (chunked("a\r\n{        }\r\n0\r\n\r\n"), READ),
        (chunked("2\r\n{}\r\n0\r\nx-trailer: a\r\n\r\n"), READ),
        (chunked("0\r\n\r\n"), READ),
        (with_coding("Chunked", CHUNKS), READ),
    ])
    .await;
    let get = "GET /v1/healthz HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    check_all([(format!("{get}{CHUNKS}"), 200)]).await;
}

#[tokio::test]
async fn a_malformed_chunk_is_a_bad_request() {
    let bodies = [
        "g\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "1\r\n{}\r\n0\r\n\r\n",
        "3\r\n{}\r\n0\r\n\r\n",
        "2\r{}\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n0\r\nx\r\n\r\n",
    ];
    check_all(bodies.map(|body| (chunked(body), 400))).await;
}

#[tokio::test]
async fn only_the_coding_chunked_is_known() {
    check_all([
        (with_coding("gzip", CHUNKS), 400),
        (with_coding("gzip, chunked", CHUNKS), 400),
        (with_coding("chunked, gzip", CHUNKS), 400),
        (with_coding("chunked, chunked", CHUNKS), 400),
        (with_coding("identity", CHUNKS), 400),
        (with_coding("xchunked", CHUNKS), 400),
        (with_coding("", CHUNKS), 400),
        (with_coding("chunked\r\ntransfer-encoding: chunked", CHUNKS), 400),
        (with_coding("gzip\r\ntransfer-encoding: chunked", CHUNKS), 400),
        (with_coding("chunked", CHUNKS).replace("HTTP/1.1", "HTTP/1.0"), 400),
    ])
    .await;
}

#[tokio::test]
async fn of_two_lengths_the_chunks_count_and_the_connection_ends() {
    let gateway = TestGateway::start().await;
    let (length, coding) = ("content-length: 2\r\n", "transfer-encoding: chunked\r\n");
    for lines in [format!("{length}{coding}"), format!("{coding}{length}")] {
        // A second request could be read differently by a proxy, so it is not read at all.
        let sent = post(&lines, CHUNKS).repeat(2);
        let answer = exchange(&gateway, sent.as_bytes(), &[READ]).await;
        assert_eq!(answer.field("connection"), "close");
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_a_bad_request() {
    let gateway = TestGateway::start().await;
    for sent in [
        post("content-length: 10\r\n", "{}"),
        post("content-length: 10\r\n", ""),
        chunked("2\r\n{"),
        chunked("2\r\n{}\r\n"),
        chunked(""),
    ] {
        let mut wire = Wire::open(&gateway).await;
        wire.send(sent.as_bytes()).await;
        wire.half_close().await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{sent}");
        wire.end().await;
    }
}

#[tokio::test]
async fn a_large_body_is_refused_and_the_answer_arrives() {
    let gateway = TestGateway::start().await;
    for size in [(64 << 10) + 1, 1 << 20, 3 << 20] {
        let sent = post(&format!("content-length: {size}\r\n"), &"a".repeat(size));
        let answer = exchange(&gateway, sent.as_bytes(), &[413]).await;
        assert_eq!(answer.code(), "payload_too_large");
    }
}

#[tokio::test]
async fn what_follows_a_body_is_the_next_request() {
    let gateway = TestGateway::start().await;
    let next = "GET /v1/healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    for first in [with_length("2"), chunked(CHUNKS).replace("{}", "  ")] {
        exchange(&gateway, format!("{first}{next}").as_bytes(), &[READ]).await;
    }
    let garbage = format!("{}garbage\r\n\r\n", with_length("2"));
    exchange(&gateway, garbage.as_bytes(), &[READ, 400]).await;
    exchange(&gateway, format!("{}\r\n{next}", with_length("2")).as_bytes(), &[READ, 200]).await;
}
