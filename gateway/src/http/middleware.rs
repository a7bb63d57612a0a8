//! The middleware around every route: id and trace, CORS, body, deadline, panics.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::StatusCode;
use parlance_core::ErrorCode;
use parlance_runtime::context::RequestContext;
use tower::{Layer, Service};

use crate::app::App;
use crate::error::ApiError;
use crate::http::body;
use crate::http::cors::CrossOrigin;
use crate::http::deadline::set_deadline;
use crate::http::observation::Observation;

/// Adds the middleware to a route. It is one layer, because each of axum's layers boxes a future
/// and copies the request.
#[derive(Clone)]
pub(crate) struct MiddlewareLayer {
    pub(crate) app: App,
}

impl Layer<Route> for MiddlewareLayer {
    type Service = Middleware;

    fn layer(&self, route: Route) -> Middleware {
        Middleware { app: self.app.clone(), route }
    }
}

/// A route with the middleware around it.
#[derive(Clone)]
pub(crate) struct Middleware {
    app: App,
    route: Route,
}

impl Service<Request> for Middleware {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // axum's routes are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Self { app, route } = self.clone();
        Box::pin(async move { Ok(answer(&app, route, request).await) })
    }
}

/// Answers a request. From the outside in: observation, CORS, body, deadline, panics.
async fn answer(app: &App, route: Route, mut request: Request) -> Response {
    let observation = Observation::start(&request, &app.sampling);
    let cross_origin = CrossOrigin::new(&request);
    let mut response = if cross_origin.is_preflight() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        match body::buffer(&mut request).await {
            Ok(()) => handle(app, route, request, observation.context()).await,
            Err(response) => response,
        }
    };
    cross_origin.allow(&app.config.cors_allowed_origins, &mut response);
    observation.finish(&app.durations, &mut response);
    response
}

async fn handle(
    app: &App,
    mut route: Route,
    request: Request,
    context: RequestContext,
) -> Response {
    let context = set_deadline(context, app.config.upstream_deadline);
    let handled =
        AssertUnwindSafe(route.call(request)).catch_unwind().map(|outcome| match outcome {
            Ok(Ok(response)) => response,
            Err(_) => answer_panic(),
        });
    context.scope(handled).await
}

/// Answers for an endpoint that panicked. The panic hook has logged the panic itself.
fn answer_panic() -> Response {
    tracing::error!("endpoint panicked; answering internal_error");
    ApiError::from(ErrorCode::Internal).into_response()
}
