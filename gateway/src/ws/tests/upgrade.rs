use http::HeaderValue;

use super::*;

fn allowed(origin: &'static str) -> bool {
    let headers = HeaderMap::from_iter([
        (HOST, HeaderValue::from_static("chat.example:8000")),
        (ORIGIN, HeaderValue::from_static(origin)),
    ]);
    is_allowed(&headers, &"http://localhost:3000".parse().unwrap())
}

#[test]
fn only_pages_of_known_origins_may_connect() {
    assert!(allowed("http://localhost:3000"));
    assert!(allowed("https://chat.example:8000"));
    assert!(is_allowed(&HeaderMap::new(), &AllowedOrigins::default()));
    for origin in ["https://evil.example", "null", "http://localhost:3001", "https://chat.example"]
    {
        assert!(!allowed(origin), "{origin}");
    }
}
