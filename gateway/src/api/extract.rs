//! Extractors: the caller from the token, and the validated input. A handler names the caller
//! first, so that a bad token is refused before a bad body.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query, RawPathParams};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use parlance_core::ErrorCode;

use crate::api::input::{FromInput, Input};
use crate::app::App;
use crate::auth::identity::Identity;
use crate::error::ApiError;
use crate::http::body::BufferedBody;

/// The user whose token is in the header `Authorization`, and what its request is served with.
pub(crate) struct Caller {
    pub(crate) app: App,
    pub(crate) identity: Arc<Identity>,
}

impl Caller {
    /// Returns the caller's id as services expect it.
    pub(crate) fn id(&self) -> i64 {
        self.identity.user_id.get()
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = bearer_token(&parts.headers)?.ok_or(ErrorCode::Unauthenticated)?;
        let identity = app.token_verifier.authenticate(token).await?;
        BufferedBody::from_parts(parts)?;
        Ok(Self { app: app.clone(), identity })
    }
}

/// Returns the token of `Authorization: Bearer <token>`. The scheme ignores case.
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
        // Path parameters that are no UTF-8 are left out: they are neither an id nor a username.
        let path = match RawPathParams::from_request_parts(parts, app).await {
            Ok(params) => {
                params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            }
            Err(_) => Vec::new(),
        };
        Ok(Self::new(path, query))
    }
}

/// Input that follows the rules. A request that breaks some is answered with 422 and all errors.
pub(crate) struct Valid<T>(pub(crate) T);

impl<T: FromInput> FromRequestParts<App> for Valid<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let body = T::HAS_BODY.then(|| json_body(parts)).transpose()?;
        let mut input = Input::from_request_parts(parts, app).await?;
        if let Some(body) = body {
            input.read_body(&body);
        }
        T::from_input(&mut input).map(Self).map_err(|_| input.into_error())
    }
}

/// Returns the body of a request that says it is JSON. An empty body needs no type.
fn json_body(parts: &Parts) -> Result<Bytes, ErrorCode> {
    let body = BufferedBody::from_parts(parts)?;
    let is_accepted = body.is_empty() || is_json(&parts.headers);
    if is_accepted { Ok(body) } else { Err(ErrorCode::UnsupportedMediaType) }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type =
        headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}
