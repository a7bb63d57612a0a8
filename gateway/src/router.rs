//! All routes.

use axum::Router;
use parlance_core::ErrorCode;
use utoipa_axum::router::OpenApiRouter;

use crate::api::{self, docs, openapi};
use crate::app::App;
use crate::config::Docs;
use crate::error::ApiError;
use crate::http::middleware;
use crate::ws;

/// Returns the public API. The middleware surrounds every answer, 404 and 405 included.
pub(crate) fn router(app: App) -> Router {
    let (mut router, document) = routes(app.config.docs).split_for_parts();
    if app.config.docs == Docs::On {
        let document = docs::serve_document(openapi::encode(document));
        router = router.route("/v1/openapi.json", document);
    }
    let router = router
        .fallback(async || ApiError::from(ErrorCode::NotFound))
        .method_not_allowed_fallback(async || ApiError::from(ErrorCode::MethodNotAllowed));
    middleware::surround(router, app.clone()).with_state(app)
}

fn routes(docs: Docs) -> OpenApiRouter<App> {
    let routes = OpenApiRouter::with_openapi(openapi::base())
        .merge(api::auth::routes())
        .merge(api::profile::routes())
        .merge(api::sessions::routes())
        .merge(api::passwords::routes())
        .merge(api::identities::routes())
        .merge(api::contacts::routes())
        .merge(api::rooms::routes())
        .merge(api::messages::routes())
        .merge(api::health::routes())
        .merge(ws::upgrade::routes());
    if docs == Docs::On { routes.merge(api::docs::routes()) } else { routes }
}
