//! All routes, and what surrounds them.

use std::any::Any;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use parlance_core::ErrorCode;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::error::ApiError;
use crate::{body, cors, observe, openapi, rest, ws};

/// The routes with their description.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(rest::auth::routes())
        .merge(rest::contacts::routes())
        .merge(rest::rooms::routes())
        .merge(rest::messages::routes())
        .merge(rest::health::routes())
        .merge(rest::docs::routes())
        .merge(ws::routes())
}

/// The public API. The layers, from the inside out: the time limit, reading the body, catching panics, CORS, and the id and trace
/// that everything else stands in. All of them also surround the answers 404 and 405.
pub(crate) fn router(app: App) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(async || ApiError::from(ErrorCode::NotFound))
        .method_not_allowed_fallback(async || ApiError::from(ErrorCode::MethodNotAllowed))
        .layer(from_fn_with_state(app.clone(), observe::limit_time))
        .layer(from_fn(body::buffer))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(from_fn_with_state(app.clone(), cors::allow_origins))
        .layer(from_fn_with_state(app.clone(), observe::observe))
        .with_state(app)
}

/// The panic itself was written to the log when it happened.
fn answer_panic(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    ApiError::from(ErrorCode::Internal).into_response()
}
