//! CORS ([Fetch](https://fetch.spec.whatwg.org/#http-cors-protocol)): lets the pages of the allowed
//! origins read the answers.

use axum::extract::Request;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderValue, Method};

use crate::config::AllowedOrigins;

// For a request with credentials, `*` is a literal name and no wildcard.
const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "accept, authorization, content-type, traceparent, tracestate, x-request-id",
);
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("x-request-id, retry-after");
/// The seconds for which a browser may cache the answer to a preflight.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// What CORS needs of a request.
pub(crate) struct CrossOrigin {
    origin: Option<HeaderValue>,
    /// True if the browser asks whether it may send the request.
    pub(crate) is_preflight: bool,
}

impl CrossOrigin {
    pub(crate) fn new(request: &Request) -> Self {
        let origin = request.headers().get(ORIGIN).cloned();
        let is_preflight = request.method() == Method::OPTIONS
            && origin.is_some()
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        Self { origin, is_preflight }
    }

    /// Lets a page of an allowed origin read the answer.
    pub(crate) fn allow(self, allowed: &AllowedOrigins, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        let is_allowed = |origin: &HeaderValue| origin.to_str().is_ok_and(|o| allowed.contains(o));
        let Some(origin) = self.origin.filter(is_allowed) else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        if self.is_preflight {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
    }
}
