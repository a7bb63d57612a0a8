//! The middleware around every route: id and trace, CORS, body, deadline, panics.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use futures_util::FutureExt as _;
use http::StatusCode;
use parlance_core::ErrorCode;
use parlance_runtime::context::RequestContext;
use tower::layer::layer_fn;
use tower::{Service as _, service_fn};

use crate::app::App;
use crate::error::ApiError;
use crate::http::body;
use crate::http::cors::CrossOrigin;
use crate::http::deadline::set_deadline;
use crate::http::head::Refused;
use crate::http::observation::Observation;
use crate::http::security::{CameByTls, protect};

/// Adds the middleware to all routes. It is one layer, because each of axum's layers boxes a future
/// and copies the request.
pub(crate) fn surround(router: Router<App>, app: App) -> Router<App> {
    router.layer(layer_fn(move |route: Route| {
        let app = app.clone();
        service_fn(move |request| {
            let (app, route) = (app.clone(), route.clone());
            async move { Ok::<_, Infallible>(answer(&app, route, request).await) }
        })
    }))
}

/// Answers a request. From the outside in: observation, headers, CORS, body, refusal of the head,
/// deadline, panics.
async fn answer(app: &App, route: Route, mut request: Request) -> Response {
    let observation = Observation::start(&request, &app.sampling);
    let cross_origin = CrossOrigin::new(&request);
    let came_by_tls = CameByTls::of_request(&request);
    let refused = request.extensions().get::<Refused>().copied();
    let mut response = if cross_origin.is_preflight && refused.is_none() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        match (body::buffer(app, &mut request).await, refused) {
            (Ok(()), None) => handle(app, route, request, observation.context.clone()).await,
            (Ok(()), Some(Refused(code))) => ApiError::from(code).into_response(),
            (Err(response), _) => response,
        }
    };
    cross_origin.allow(&app.config.cors_allowed_origins, &mut response);
    protect(&mut response, came_by_tls);
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
    let handled = AssertUnwindSafe(route.call(request)).catch_unwind();
    let Ok(Ok(response)) = context.scope(handled).await else {
        // The panic hook has logged the panic itself.
        tracing::error!("endpoint panicked; answering internal_error");
        return ApiError::from(ErrorCode::Internal).into_response();
    };
    response
}
