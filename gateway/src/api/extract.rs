//! What handlers take from a request: the caller behind a token, and the input. A handler names the
//! caller first, so that a bad token is refused before a bad body.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query, RawPathParams};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use parlance_core::ErrorCode;

use crate::api::input::Input;
use crate::app::App;
use crate::auth::verifier::Identity;
use crate::error::ApiError;
use crate::http::body::BufferedBody;

/// The user who calls, known by a token in `Authorization`.
#[derive(Debug)]
pub(crate) struct Caller(pub(crate) Arc<Identity>);

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = bearer_token(&parts.headers)?.ok_or(ErrorCode::Unauthenticated)?;
        let session = app.token_verifier.authenticate(token).await?;
        BufferedBody::of(parts)?;
        Ok(Self(session))
    }
}

/// The token in `Authorization: Bearer <token>`, whose scheme ignores case; `None` without one.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Result<Option<&str>, ErrorCode> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().map_err(|_| ErrorCode::InvalidToken)?;
    let Some((scheme, token)) = value.trim().split_once(' ') else { return Ok(None) };
    Ok(Some(token.trim())
        .filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()))
}

impl FromRequestParts<App> for Input {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| ErrorCode::BadRequest)?
            .0;
        // Parameters that cannot be decoded are no integers and nobody's name.
        let path = match RawPathParams::from_request_parts(parts, app).await {
            Ok(params) => {
                params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            }
            Err(_) => Vec::new(),
        };
        Ok(Self::new(path, query))
    }
}

/// Input with a JSON object as body.
#[derive(Debug)]
pub(crate) struct JsonInput(pub(crate) Input);

impl FromRequestParts<App> for JsonInput {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let body = BufferedBody::of(parts)?;
        if !body.is_empty() && !is_json(&parts.headers) {
            return Err(ErrorCode::UnsupportedMediaType.into());
        }
        let mut input = Input::from_request_parts(parts, app).await?;
        input.read_body(&body);
        Ok(Self(input))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type =
        headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn token_in(value: &'static str) -> Option<String> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
        bearer_token(&headers).unwrap().map(str::to_owned)
    }

    #[test]
    fn the_scheme_ignores_case() {
        for value in ["Bearer abc", "bearer abc", "BEARER  abc "] {
            assert_eq!(token_in(value).as_deref(), Some("abc"), "{value}");
        }
    }

    #[test]
    fn other_schemes_and_nothing_are_no_token() {
        for value in ["", "Bearer", "Bearer  ", "Basic abc", "abc"] {
            assert_eq!(token_in(value), None, "{value}");
        }
    }

    #[test]
    fn a_media_type_may_have_parameters() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/jsonp", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(is_json(&headers), expected, "{value}");
        }
    }
}
