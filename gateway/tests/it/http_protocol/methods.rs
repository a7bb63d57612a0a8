//! Methods (RFC 9110 9): 405 with `Allow`, HEAD.

use crate::app::TestGateway;

use super::wire::{check_all, exchange};

fn request(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")
}

#[tokio::test]
async fn a_known_path_refuses_other_methods_and_names_its_own() {
    let gateway = TestGateway::start().await;
    for (method, target, allowed) in [
        ("POST", "/v1/healthz", "GET,HEAD"),
        ("PUT", "/v1/rooms", "GET,HEAD,POST"),
        ("TRACE", "/v1/rooms", "GET,HEAD,POST"),
        ("OPTIONS", "/v1/rooms", "GET,HEAD,POST"),
        ("CONNECT", "/v1/rooms", "GET,HEAD,POST"),
        ("HEAD", "/v1/auth/login", "POST"),
        ("GET", "/v1/auth/register", "POST"),
        ("DELETE", "/v1/auth/me", "GET,HEAD,PATCH"),
        ("PUT", "/v1/rooms/1", "DELETE,GET,HEAD,PATCH"),
        ("GET", "/v1/rooms/1/owner", "PUT"),
        ("POST", "/v1/contacts/invitations/1", "DELETE"),
        ("PUT", "/v1/messages/1", "DELETE,PATCH"),
        ("POST", "/v1/messages/ws", "GET,HEAD"),
        ("DELETE", "/docs", "GET,HEAD"),
    ] {
        let answer = exchange(&gateway, request(method, target).as_bytes(), &[405]).await;
        let mut methods: Vec<&str> = answer.field("allow").split(',').map(str::trim).collect();
        methods.sort_unstable();
        assert_eq!(methods.join(","), allowed, "{method} {target}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_unknown_to_every_method() {
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"];
    check_all(methods.map(|method| (request(method, "/v1/nothing"), 404))).await;
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let gateway = TestGateway::start().await;
    for (target, status) in
        [("/v1/healthz", 200), ("/docs", 200), ("/v1/auth/me", 401), ("/v1/nothing", 404)]
    {
        let of_get = exchange(&gateway, request("GET", target).as_bytes(), &[status]).await;
        let pipelined = request("HEAD", target).repeat(2);
        let of_head = exchange(&gateway, pipelined.as_bytes(), &[status, status]).await;
        for name in ["content-length", "content-type", "www-authenticate"] {
            assert_eq!(of_head.field(name), of_get.field(name), "{name} of {target}");
        }
    }
}
