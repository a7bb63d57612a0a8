//! All routes, and what surrounds them.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::StatusCode;
use parlance_core::ErrorCode;
use parlance_runtime::context::RequestContext;
use tower::{Layer, Service};
use utoipa_axum::router::OpenApiRouter;

use crate::api::{self, openapi};
use crate::app::App;
use crate::error::ApiError;
use crate::http::body;
use crate::http::cors::Origin;
use crate::http::middleware::{self, Observation};
use crate::ws;

/// The routes with their description.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(api::auth::routes())
        .merge(api::contacts::routes())
        .merge(api::rooms::routes())
        .merge(api::messages::routes())
        .merge(api::health::routes())
        .merge(api::docs::routes())
        .merge(ws::upgrade::routes())
}

/// The public API, with what surrounds every answer, 404 and 405 too.
pub(crate) fn router(app: App) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(async || ApiError::from(ErrorCode::NotFound))
        .method_not_allowed_fallback(async || ApiError::from(ErrorCode::MethodNotAllowed))
        .layer(Surroundings { app: app.clone() })
        .with_state(app)
}

/// Puts [`answer`] around a route. One layer of our own: each of axum's boxes a future and copies
/// the request.
#[derive(Clone)]
struct Surroundings {
    app: App,
}

impl Layer<Route> for Surroundings {
    type Service = Surrounded;

    fn layer(&self, route: Route) -> Surrounded {
        Surrounded { app: self.app.clone(), route }
    }
}

#[derive(Clone)]
struct Surrounded {
    app: App,
    route: Route,
}

impl Service<Request> for Surrounded {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // As axum's own routes are.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Self { app, route } = self.clone();
        Box::pin(async move { Ok(answer(&app, route, request).await) })
    }
}

/// From the outside in: the id and the trace that everything else stands in, CORS, reading the
/// body, the time limit, and catching panics.
async fn answer(app: &App, route: Route, mut request: Request) -> Response {
    let (observation, origin) = (Observation::begin(&request, &app.sampling), Origin::of(&request));
    let mut response = if origin.is_preflight() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        match body::buffer(&mut request).await {
            Ok(()) => handle(app, route, request, observation.context()).await,
            Err(response) => response,
        }
    };
    origin.allow(app, &mut response);
    observation.end(&app.durations, &mut response);
    response
}

async fn handle(
    app: &App,
    mut route: Route,
    request: Request,
    context: RequestContext,
) -> Response {
    let context = middleware::limited(context, app.config.upstream_deadline);
    let handled =
        AssertUnwindSafe(route.call(request)).catch_unwind().map(|outcome| match outcome {
            Ok(Ok(response)) => response,
            Err(_) => answer_panic(),
        });
    context.scope(handled).await
}

/// The panic itself was written to the log when it happened.
fn answer_panic() -> Response {
    tracing::error!("a handler panicked");
    ApiError::from(ErrorCode::Internal).into_response()
}
