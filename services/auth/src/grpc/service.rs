//! The methods of `AuthService`, one use case each.

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use parlance_core::{AvatarUrl, DisplayName, SessionId, UserId};
use parlance_proto::auth::auth_service_server::AuthService;
use parlance_proto::auth::{
    ChangePasswordRequest, ChangePasswordResponse, EndOtherSessionsRequest,
    EndOtherSessionsResponse, EndSessionRequest, EndSessionResponse, EnsureProbeAccountRequest,
    EnsureProbeAccountResponse, ExchangeRequest, ExchangeResponse, FindUsersRequest,
    FindUsersResponse, GetAccessStateRequest, GetAccessStateResponse, GetUsersRequest,
    GetUsersResponse, ListSessionsRequest, ListSessionsResponse, LogInRequest, LogInResponse,
    LogOutRequest, LogOutResponse, RefreshRequest, RefreshResponse, RegisterRequest,
    RegisterResponse, ResetPasswordRequest, ResetPasswordResponse, UpdateProfileRequest,
    UpdateProfileResponse, WatchAccessStateRequest, WatchAccessStateResponse,
};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::client::Client;
use crate::grpc::convert::text_change;
use crate::ops::{self, Exchange};

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
        let user = ops::register(&self.app, username, password, &client.into()).await?;
        Ok(Response::new(RegisterResponse { user: Some(user.into()) }))
    }

    async fn log_in(&self, request: Request<LogInRequest>) -> Reply<LogInResponse> {
        let LogInRequest { username, password, client, refresh } = request.into_inner();
        let client = Client::from(client);
        let tokens = ops::log_in(&self.app, username, password, &client, refresh).await?;
        Ok(Response::new(LogInResponse { tokens: Some(tokens.into()) }))
    }

    async fn refresh(&self, request: Request<RefreshRequest>) -> Reply<RefreshResponse> {
        let RefreshRequest { refresh_token, client } = request.into_inner();
        let tokens = ops::refresh(&self.app, &refresh_token, &client.into()).await?;
        Ok(Response::new(RefreshResponse { tokens: Some(tokens.into()) }))
    }

    async fn exchange(&self, request: Request<ExchangeRequest>) -> Reply<ExchangeResponse> {
        let ExchangeRequest { token, username, client, refresh } = request.into_inner();
        let request = Exchange { token, username, refresh };
        let (tokens, user) = ops::exchange(&self.app, request, &client.into()).await?;
        let (tokens, user) = (Some(tokens.into()), Some(user.into()));
        Ok(Response::new(ExchangeResponse { tokens, user }))
    }

    async fn log_out(&self, request: Request<LogOutRequest>) -> Reply<LogOutResponse> {
        let LogOutRequest { caller, client } = request.into_inner();
        ops::log_out(&self.app, &caller.try_into()?, &client.into()).await?;
        Ok(Response::new(LogOutResponse {}))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Reply<ListSessionsResponse> {
        let user_id = UserId::new(request.into_inner().user_id);
        let sessions = ops::list_sessions(&self.app, user_id).await?;
        let sessions = sessions.into_iter().map(Into::into).collect();
        Ok(Response::new(ListSessionsResponse { sessions }))
    }

    async fn end_session(&self, request: Request<EndSessionRequest>) -> Reply<EndSessionResponse> {
        let EndSessionRequest { user_id, session_id, client } = request.into_inner();
        let (user_id, session_id) = (UserId::new(user_id), SessionId::new(session_id));
        ops::end_session(&self.app, user_id, session_id, &client.into()).await?;
        Ok(Response::new(EndSessionResponse {}))
    }

    async fn end_other_sessions(
        &self,
        request: Request<EndOtherSessionsRequest>,
    ) -> Reply<EndOtherSessionsResponse> {
        let EndOtherSessionsRequest { caller, client } = request.into_inner();
        ops::end_other_sessions(&self.app, &caller.try_into()?, &client.into()).await?;
        Ok(Response::new(EndOtherSessionsResponse {}))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Reply<ChangePasswordResponse> {
        let ChangePasswordRequest { caller, current_password, new_password, client } =
            request.into_inner();
        let (caller, client) = (caller.try_into()?, client.into());
        ops::change_password(&self.app, &caller, current_password, new_password, &client).await?;
        Ok(Response::new(ChangePasswordResponse {}))
    }

    async fn reset_password(
        &self,
        request: Request<ResetPasswordRequest>,
    ) -> Reply<ResetPasswordResponse> {
        let ResetPasswordRequest { code, new_password, client } = request.into_inner();
        ops::reset_password(&self.app, &code, new_password, &client.into()).await?;
        Ok(Response::new(ResetPasswordResponse {}))
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
        request: Request<WatchAccessStateRequest>,
    ) -> Reply<Self::WatchAccessStateStream> {
        let WatchAccessStateRequest { is_incremental } = request.into_inner();
        let updates = ops::watch_access_state(&self.app, is_incremental)?;
        let responses = stream::unfold(updates, |mut updates| async move {
            let update = updates.next().await?;
            Some((Ok(update.into()), updates))
        });
        let draining = self.app.lifecycle.draining().clone();
        Ok(Response::new(responses.take_until(draining.cancelled_owned()).boxed()))
    }

    async fn update_profile(
        &self,
        request: Request<UpdateProfileRequest>,
    ) -> Reply<UpdateProfileResponse> {
        let UpdateProfileRequest { user_id, display_name, avatar_url } = request.into_inner();
        let display_name = text_change(display_name, DisplayName::parse)?;
        let avatar_url = text_change(avatar_url, AvatarUrl::parse)?;
        let user_id = UserId::new(user_id);
        let user = ops::update_profile(&self.app, user_id, &display_name, &avatar_url).await?;
        Ok(Response::new(UpdateProfileResponse { user: Some(user.into()) }))
    }
}
