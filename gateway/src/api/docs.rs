//! The OpenAPI document, and a page that shows it. The page loads nothing from other hosts.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use http::HeaderName;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use parlance_core::ErrorCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::input::Input;
use crate::app::App;
use crate::error::ApiError;

const PAGE: &str = include_str!("../docs/index.html");
const START_SCRIPT: &str = include_str!("../docs/start.js");
/// The page may load from and connect to its own origin only. Swagger UI sets inline styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
/// The files of Swagger UI that the page loads.
const ASSETS: [&str; 3] = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"];

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(page)).routes(routes!(asset))
}

/// Serves the document, which is known only when all routes are.
pub(crate) fn serve_document(document: Bytes) -> MethodRouter<App> {
    get(self::document).with_state(document)
}

/// Returns this document.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "service", security(()),
    responses((
        status = 200,
        description = "An OpenAPI 3.1 document",
        body = Object,
        content_type = "application/json",
    )),
)]
pub(crate) async fn document(State(document): State<Bytes>) -> Response {
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}

/// Returns a page that shows this document and calls its operations.
#[utoipa::path(
    get, path = "/docs", tag = "service", security(()),
    responses((status = 200, description = "The page", body = String, content_type = "text/html")),
)]
async fn page() -> Response {
    let headers: [(HeaderName, &str); 2] =
        [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, PAGE).into_response()
}

/// Returns a file that the page loads.
#[utoipa::path(
    get, path = "/docs/{file}", tag = "service", security(()),
    params(("file" = String, Path)),
    responses(
        (status = 200, description = "The file", content_type = "application/octet-stream"),
        (status = 404, description = "`not_found`"),
    ),
)]
async fn asset(input: Input) -> Result<Response, ApiError> {
    let file = input.path_text("file");
    if file == "start.js" {
        return Ok(
            ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], START_SCRIPT).into_response()
        );
    }
    if !ASSETS.contains(&file.as_str()) {
        return Err(ErrorCode::NotFound.into());
    }
    let config = Arc::new(utoipa_swagger_ui::Config::default());
    let asset =
        utoipa_swagger_ui::serve(&file, config).ok().flatten().ok_or(ErrorCode::NotFound)?;
    let bytes = match asset.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let headers =
        [(CONTENT_TYPE, asset.content_type), (CACHE_CONTROL, "public, max-age=3600".to_owned())];
    Ok((headers, bytes).into_response())
}
