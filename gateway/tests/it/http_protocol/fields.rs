//! Header fields (RFC 9112 5), and the sizes of a head.

use crate::app::TestGateway;

use super::wire::{check_all, exchange, get};

#[tokio::test]
async fn names_ignore_case_and_values_are_trimmed() {
    let with_host = |line: &str| format!("GET /v1/healthz HTTP/1.1\r\n{line}\r\n\r\n");
    check_all([
        (with_host("HOST: a"), 200),
        (with_host("hOsT:a"), 200),
        (with_host("host:   a  "), 200),
        (with_host("host:\ta\t"), 200),
        (get("/v1/healthz", "x-empty:\r\n"), 200),
        (get("/v1/healthz", "x-tab: a\tb\r\n"), 200),
        (get("/v1/healthz", "x-text: \u{e4}\r\n"), 200),
        (get("/v1/healthz", "x-same: a\r\nx-same: b\r\n"), 200),
        (get("/v1/healthz", "!#$%&'*+-.^_`|~: a\r\n"), 200),
    ])
    .await;
}

#[tokio::test]
async fn a_malformed_field_is_a_bad_request() {
    let lines = [
        "x : a",
        "x\t: a",
        " x: a",
        "x: a\r\n folded",
        "x: a\r\n\tfolded",
        ": a",
        "x",
        "x y: a",
        "x(y: a",
        "x@y: a",
        "\u{e4}: a",
        "x\0: a",
        "x: a\0b",
        "x: a\u{1}b",
        "x: a\u{7f}b",
        "x: a\rb",
        "\"x\": a",
    ];
    check_all(lines.map(|line| (get("/v1/healthz", &format!("{line}\r\n")), 400))).await;
}

#[tokio::test]
async fn a_head_of_64_kib_is_accepted_and_a_larger_one_refused() {
    let gateway = TestGateway::start().await;
    let with_field = |size: usize| get("/v1/healthz", &format!("x: {}\r\n", "a".repeat(size)));
    exchange(&gateway, with_field(60 << 10).as_bytes(), &[200]).await;
    for size in [70 << 10, 200 << 10, 1 << 20] {
        let answer = exchange(&gateway, with_field(size).as_bytes(), &[431]).await;
        assert_eq!(answer.code(), "headers_too_large");
    }
    let many_fields = |count: usize| get("/v1/healthz", &"x: a\r\n".repeat(count));
    exchange(&gateway, many_fields(99).as_bytes(), &[200]).await;
    for count in [100, 1_000, 20_000] {
        let answer = exchange(&gateway, many_fields(count).as_bytes(), &[431]).await;
        assert_eq!(answer.code(), "headers_too_large");
    }
}

#[tokio::test]
async fn a_target_of_16_kib_is_accepted_and_a_longer_one_refused() {
    let gateway = TestGateway::start().await;
    for length in [8_000, 16 << 10] {
        let target = format!("/{}", "a".repeat(length - 1));
        exchange(&gateway, get(&target, "").as_bytes(), &[404]).await;
        let target = format!("/v1/healthz?{}", "a".repeat(length - 12));
        exchange(&gateway, get(&target, "").as_bytes(), &[200]).await;
    }
    for length in [(16 << 10) + 1, 60 << 10, 70 << 10, 1 << 20] {
        for start in ["/", "/v1/healthz?"] {
            let target = format!("{start}{}", "a".repeat(length - start.len()));
            let answer = exchange(&gateway, get(&target, "").as_bytes(), &[414]).await;
            assert_eq!(answer.code(), "uri_too_long");
        }
    }
}
