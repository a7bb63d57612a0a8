//! The headers of all answers.

use reqwest::Response;

use crate::app::TestGateway;

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_answer_forbids_sniffing_and_referrers() {
    let gateway = TestGateway::start().await;
    for (method, path, status) in [
        ("GET", "/v1/healthz", 200),
        ("GET", "/docs", 200),
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/rooms", 405),
        ("GET", "/v1/auth/me", 401),
        ("GET", "/.well-known/jwks.json", 503),
        ("GET", "/v1/%zz", 400),
    ] {
        let response = gateway.request(method, path).send().await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff", "{method} {path}");
        assert_eq!(header(&response, "referrer-policy"), "no-referrer", "{method} {path}");
        assert_eq!(header(&response, "strict-transport-security"), "", "{method} {path}");
    }
    // The server itself answers what is no HTTP.
    let answer = gateway.send_raw(b"nonsense\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("\r\nx-content-type-options: nosniff\r\n"), "{answer}");
    assert!(answer.contains("\r\nreferrer-policy: no-referrer\r\n"), "{answer}");
}

#[tokio::test]
async fn tls_is_demanded_only_if_a_trusted_proxy_says_that_the_request_came_by_it() {
    let trusting = TestGateway::start_with_settings(&["--trusted-proxies=127.0.0.0/8"]).await;
    let distrusting = TestGateway::start().await;
    for (gateway, scheme, expected) in [
        (&trusting, "https", "max-age=31536000"),
        (&trusting, "HTTPS", "max-age=31536000"),
        (&trusting, "http, https", "max-age=31536000"),
        (&trusting, "https, http", ""),
        (&trusting, "http", ""),
        (&distrusting, "https", ""),
    ] {
        for path in ["/v1/healthz", "/v1/nothing"] {
            let request = gateway.request("GET", path).header("x-forwarded-proto", scheme);
            let response = request.send().await.unwrap();
            assert_eq!(header(&response, "strict-transport-security"), expected, "{scheme}");
        }
    }
}
