//! The gRPC face of the service: decodes requests, calls the use case, encodes its answer.

mod encode;

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use parlance_proto::auth::auth_service_server::{AuthService, AuthServiceServer};
use parlance_proto::auth::{
    FindUsersRequest, FindUsersResponse, GetAccessStateRequest, GetAccessStateResponse,
    GetUsersRequest, GetUsersResponse, LogInRequest, LogInResponse, RegisterRequest,
    RegisterResponse, WatchAccessStateRequest, WatchAccessStateResponse,
};
use parlance_runtime::error::status;
use tokio_stream::wrappers::WatchStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::error::Error;
use crate::ops;

/// The routes to serve.
pub(crate) fn routes(app: Arc<App>) -> Routes {
    Routes::new(AuthServiceServer::new(Service { app }))
}

struct Service {
    app: Arc<App>,
}

fn refuse(error: Error) -> Status {
    status(&error)
}

#[tonic::async_trait]
impl AuthService for Service {
    type WatchAccessStateStream = BoxStream<'static, Result<WatchAccessStateResponse, Status>>;

    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let RegisterRequest { username, password } = request.into_inner();
        let user = ops::register::register(&self.app, username, password).await.map_err(refuse)?;
        Ok(Response::new(RegisterResponse { user: Some(user.into()) }))
    }

    async fn log_in(
        &self,
        request: Request<LogInRequest>,
    ) -> Result<Response<LogInResponse>, Status> {
        let LogInRequest { username, password } = request.into_inner();
        let token = ops::log_in::log_in(&self.app, username, password).await.map_err(refuse)?;
        Ok(Response::new(LogInResponse {
            access_token: token.token,
            expires_in_s: token.expires_in_s,
        }))
    }

    async fn get_users(
        &self,
        request: Request<GetUsersRequest>,
    ) -> Result<Response<GetUsersResponse>, Status> {
        let user_ids = request.into_inner().user_ids;
        let users = ops::get_users::get_users(&self.app, &user_ids).await.map_err(refuse)?;
        Ok(Response::new(GetUsersResponse { users: users.into_iter().map(Into::into).collect() }))
    }

    async fn find_users(
        &self,
        request: Request<FindUsersRequest>,
    ) -> Result<Response<FindUsersResponse>, Status> {
        let usernames = request.into_inner().usernames;
        let found = ops::find_users::find_users(&self.app, usernames).await.map_err(refuse)?;
        Ok(Response::new(FindUsersResponse { found: found.into_iter().map(Into::into).collect() }))
    }

    async fn get_access_state(
        &self,
        _: Request<GetAccessStateRequest>,
    ) -> Result<Response<GetAccessStateResponse>, Status> {
        let state = ops::get_access_state::get_access_state(&self.app).await.map_err(refuse)?;
        Ok(Response::new(GetAccessStateResponse { state: Some(state.into()) }))
    }

    async fn watch_access_state(
        &self,
        _: Request<WatchAccessStateRequest>,
    ) -> Result<Response<Self::WatchAccessStateStream>, Status> {
        let clock = self.app.clock.clone();
        let states = WatchStream::new(self.app.access.clone()).map(move |access| {
            let state = access.state(clock.now()).into();
            Ok(WatchAccessStateResponse { state: Some(state) })
        });
        let until_drained = states.take_until(self.app.draining.clone().cancelled_owned());
        Ok(Response::new(until_drained.boxed()))
    }
}
