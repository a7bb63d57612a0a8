//! The request target (RFC 9112 3.2, RFC 3986 6.2).

use super::wire::{check_all, get};

#[tokio::test]
async fn escaped_unreserved_characters_are_the_same_path() {
    check_all([
        (get("/v1/%61uth/me", ""), 401),
        (get("/%76%31/%61%75%74%68/%6d%65", ""), 401),
        (get("/%76%31/%61%75%74%68/%6D%65", ""), 401),
        (get("/v1/%68ealthz", ""), 200),
        (get("/v1/healthz?%61=%zz", ""), 200),
        (get("/%2ewell-known/jwks%2Ejson", ""), 503),
        (get("/%2Ewell%2Dknown/jwks.json", ""), 503),
        // Other escapes stay what they are, and nothing is decoded twice.
        (get("/v1%2Fhealthz", ""), 404),
        (get("/v1%2fhealthz", ""), 404),
        (get("/v1/%2568ealthz", ""), 404),
        (get("/v1/healthz%00", ""), 404),
        (get("/v1/healthz%20", ""), 404),
        (get("/v1/healthz%3F", ""), 404),
        (get("/v1/healthz%ff", ""), 404),
    ])
    .await;
}

#[tokio::test]
async fn a_malformed_escape_is_a_bad_request() {
    let targets = ["/%", "/v1/healthz%", "/v1/%6", "/v1/%6gealthz", "/v1/%%68ealthz", "/%u0068"];
    check_all(targets.map(|target| (get(target, ""), 400))).await;
}

#[tokio::test]
async fn paths_are_compared_as_they_are() {
    check_all([
        (get("/v1/healthz?", ""), 200),
        (get("/v1/healthz?a=b&c", ""), 200),
        (get("/", ""), 404),
        (get("//", ""), 404),
        (get("//v1/healthz", ""), 404),
        (get("/v1//healthz", ""), 404),
        (get("/v1/healthz/", ""), 404),
        (get("/v1/./healthz", ""), 404),
        (get("/v1/%2e/healthz", ""), 404),
        (get("/v1/rooms/../healthz", ""), 404),
        (get("/v1/rooms/%2e%2e/healthz", ""), 404),
        (get("/V1/healthz", ""), 404),
        (get("/v1/healthz;a=b", ""), 404),
    ])
    .await;
}

#[tokio::test]
async fn the_authority_of_an_absolute_target_wins_over_a_valid_host() {
    check_all([
        (get("http://a/v1/healthz", ""), 200),
        (get("http://b.example:81/v1/healthz", ""), 200),
        (get("HTTP://a/v1/healthz", ""), 200),
        (get("https://a/v1/%68ealthz", ""), 200),
        (get("http://[::1]:8000/v1/healthz?a", ""), 200),
        (get("http://a", ""), 404),
        (get("http://a/v1/nothing", ""), 404),
        (get("http://user@a/v1/healthz", ""), 400),
        (get("http://user:password@a/v1/healthz", ""), 400),
        (get("http:///v1/healthz", ""), 400),
        (get("http://a:b/v1/healthz", ""), 400),
        (get("http://a,b/v1/healthz", ""), 400),
        (get("ftp://a/v1/healthz", ""), 400),
        (get("file:///v1/healthz", ""), 400),
        ("GET http://a/v1/healthz HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET http://a/v1/healthz HTTP/1.1\r\nhost: a b\r\n\r\n".to_owned(), 400),
        ("GET http://a/v1/healthz HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n".to_owned(), 400),
        ("GET http://a/v1/healthz HTTP/1.0\r\n\r\n".to_owned(), 200),
    ])
    .await;
}

#[tokio::test]
async fn other_forms_of_a_target_belong_to_connect_and_options() {
    let request = |line: &str| format!("{line} HTTP/1.1\r\nhost: a\r\n\r\n");
    check_all([
        (request("GET a.example:80"), 400),
        (request("POST a.example:80"), 400),
        (request("GET *"), 400),
        (request("POST *"), 400),
        (request("OPTIONS *"), 404),
        (request("CONNECT a.example:80"), 404),
        (request("CONNECT /v1/healthz"), 405),
    ])
    .await;
}
