//! The methods of `AuthService`, one use case each.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use parlance_proto::auth::auth_service_server::AuthService;
use parlance_proto::auth::{
    ChangePasswordRequest, ChangePasswordResponse, EndOtherSessionsRequest,
    EndOtherSessionsResponse, EndSessionRequest, EndSessionResponse, EnsureProbeAccountRequest,
    EnsureProbeAccountResponse, FindUsersRequest, FindUsersResponse, GetAccessStateRequest,
    GetAccessStateResponse, GetUsersRequest, GetUsersResponse, ListSessionsRequest,
    ListSessionsResponse, LogInRequest, LogInResponse, LogOutRequest, LogOutResponse,
    RefreshRequest, RefreshResponse, RegisterRequest, RegisterResponse, ResetPasswordRequest,
    ResetPasswordResponse, Tokens, WatchAccessStateRequest, WatchAccessStateResponse,
};
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::client_network::ClientNetwork;
use crate::ops;

type Reply<T> = Result<Response<T>, Status>;

pub(crate) struct Service {
    app: App,
}

impl Service {
    pub(crate) fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl AuthService for Service {
    type WatchAccessStateStream = BoxStream<'static, Result<WatchAccessStateResponse, Status>>;

    async fn register(&self, request: Request<RegisterRequest>) -> Reply<RegisterResponse> {
        let RegisterRequest { username, password, client } = request.into_inner();
        let client = ClientNetwork::from_address(&client.unwrap_or_default().address);
        let user = ops::register(&self.app, username, password, client).await?;
        Ok(Response::new(RegisterResponse { user: Some(user.into()) }))
    }

    async fn log_in(&self, request: Request<LogInRequest>) -> Reply<LogInResponse> {
        let LogInRequest { username, password, client, .. } = request.into_inner();
        let client = ClientNetwork::from_address(&client.unwrap_or_default().address);
        let token = ops::log_in(&self.app, username, password, client).await?;
        let tokens = Tokens {
            access_token: token.token,
            expires_in_s: token.expires_in_s,
            ..Tokens::default()
        };
        Ok(Response::new(LogInResponse { tokens: Some(tokens) }))
    }

    async fn refresh(&self, _: Request<RefreshRequest>) -> Reply<RefreshResponse> {
        Err(Status::unimplemented("Refresh"))
    }

    async fn log_out(&self, _: Request<LogOutRequest>) -> Reply<LogOutResponse> {
        Err(Status::unimplemented("LogOut"))
    }

    async fn list_sessions(&self, _: Request<ListSessionsRequest>) -> Reply<ListSessionsResponse> {
        Err(Status::unimplemented("ListSessions"))
    }

    async fn end_session(&self, _: Request<EndSessionRequest>) -> Reply<EndSessionResponse> {
        Err(Status::unimplemented("EndSession"))
    }

    async fn end_other_sessions(
        &self,
        _: Request<EndOtherSessionsRequest>,
    ) -> Reply<EndOtherSessionsResponse> {
        Err(Status::unimplemented("EndOtherSessions"))
    }

    async fn change_password(
        &self,
        _: Request<ChangePasswordRequest>,
    ) -> Reply<ChangePasswordResponse> {
        Err(Status::unimplemented("ChangePassword"))
    }

    async fn reset_password(
        &self,
        _: Request<ResetPasswordRequest>,
    ) -> Reply<ResetPasswordResponse> {
        Err(Status::unimplemented("ResetPassword"))
    }

    async fn get_users(&self, request: Request<GetUsersRequest>) -> Reply<GetUsersResponse> {
        let users = ops::get_users(&self.app, &request.into_inner().user_ids).await?;
        Ok(Response::new(GetUsersResponse { users: users.into_iter().map(Into::into).collect() }))
    }

    async fn find_users(&self, request: Request<FindUsersRequest>) -> Reply<FindUsersResponse> {
        let found = ops::find_users(&self.app, request.into_inner().usernames).await?;
        Ok(Response::new(FindUsersResponse { found: found.into_iter().map(Into::into).collect() }))
    }

    async fn ensure_probe_account(
        &self,
        _: Request<EnsureProbeAccountRequest>,
    ) -> Reply<EnsureProbeAccountResponse> {
        let user = ops::ensure_probe_account(&self.app).await?;
        Ok(Response::new(EnsureProbeAccountResponse { user: Some(user.into()) }))
    }

    async fn get_access_state(
        &self,
        _: Request<GetAccessStateRequest>,
    ) -> Reply<GetAccessStateResponse> {
        let state = ops::get_access_state(&self.app).await?;
        Ok(Response::new(GetAccessStateResponse { state: Some(state.into()) }))
    }

    async fn watch_access_state(
        &self,
        _: Request<WatchAccessStateRequest>,
    ) -> Reply<Self::WatchAccessStateStream> {
        let clock = self.app.clock.clone();
        let states = WatchStream::new(self.app.access.clone()).map(move |access| {
            let state = access.state(clock.now()).into();
            Ok(WatchAccessStateResponse {
                state: Some(state),
                ended: Vec::new(),
                is_complete: true,
            })
        });
        let draining = self.app.lifecycle.draining().clone();
        Ok(Response::new(states.take_until(draining.cancelled_owned()).boxed()))
    }
}
