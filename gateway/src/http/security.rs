//! The headers that tell browsers what they may not do with an answer.

use axum::extract::Request;
use axum::response::Response;
use http::header::{REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue};

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// A year. Subdomains are the operator's affair: other programs may serve them.
const TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// A request that came by TLS as far as the first trusted proxy. The server sets it as an
/// extension.
#[derive(Clone, Copy, Debug)]
pub(super) struct CameByTls;

impl CameByTls {
    /// Reads the header of a trusted proxy. The last proxy adds the last value.
    pub(super) fn of_proxy(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get_all(FORWARDED_PROTO).iter().next_back()?.to_str().ok()?;
        let scheme = value.rsplit(',').next().unwrap_or_default().trim();
        scheme.eq_ignore_ascii_case("https").then_some(Self)
    }

    pub(super) fn of_request(request: &Request) -> Option<Self> {
        request.extensions().get().copied()
    }
}

/// Sets the headers of every answer.
pub(super) fn protect(response: &mut Response, came_by_tls: Option<CameByTls>) {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if came_by_tls.is_some() {
        headers.insert(STRICT_TRANSPORT_SECURITY, TLS_ONLY);
    }
}
