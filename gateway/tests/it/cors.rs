//! CORS: pages of allowed origins can read the answers.

use reqwest::Response;

use crate::app::{ORIGIN, TestGateway};

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn an_allowed_origin_can_read_every_answer() {
    let gateway = TestGateway::start().await;
    let large = "a".repeat(100_000);
    for (method, path, body, status) in [
        ("GET", "/v1/healthz", "", 200),
        ("GET", "/v1/nothing", "", 404),
        ("PUT", "/v1/rooms", "", 405),
        ("GET", "/v1/auth/me", "", 401),
        ("POST", "/v1/auth/register", &large, 413),
        ("POST", "/v1/auth/register", "{}", 422),
        ("POST", "/v1/auth/login", r#"{"username": "ann", "password": "x"}"#, 503),
    ] {
        let request = gateway.request(method, path).header("origin", ORIGIN);
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(header(&response, "access-control-allow-origin"), ORIGIN, "{method} {path}");
        assert_eq!(header(&response, "access-control-allow-credentials"), "true");
        assert!(header(&response, "access-control-expose-headers").contains("x-request-id"));
        assert_eq!(header(&response, "vary"), "Origin");
    }
}

#[tokio::test]
async fn other_origins_cannot_read_answers() {
    let gateway = TestGateway::start().await;
    for origin in
        ["http://evil.example", "null", "http://localhost:3000.evil.example", "http://localhost"]
    {
        let response =
            gateway.request("GET", "/v1/healthz").header("origin", origin).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "access-control-allow-origin"), "", "{origin}");
        assert_eq!(header(&response, "vary"), "Origin");
    }
}

#[tokio::test]
async fn a_preflight_allows_every_method_and_header_of_the_api() {
    let gateway = TestGateway::start().await;
    let request = gateway.request("OPTIONS", "/v1/messages/5").header("origin", ORIGIN);
    let request = request.header("access-control-request-method", "PATCH");
    let response = request
        .header("access-control-request-headers", "authorization,content-type")
        .send()
        .await
        .unwrap();
    assert!(response.status().is_success());
    assert_eq!(header(&response, "access-control-allow-origin"), ORIGIN);
    assert_eq!(header(&response, "access-control-allow-credentials"), "true");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        assert!(header(&response, "access-control-allow-methods").contains(method), "{method}");
    }
    for name in ["authorization", "content-type", "x-request-id"] {
        assert!(header(&response, "access-control-allow-headers").contains(name), "{name}");
    }
}
