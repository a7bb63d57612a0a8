//! A double of the auth service. It sends the access state that a test wants, and answers every
//! call alike.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parlance_core::{Clock, ErrorCode};
use parlance_proto::auth::auth_service_server::{AuthService, AuthServiceServer};
use parlance_proto::auth::ended_access::Tokens as EndedTokens;
use parlance_proto::auth::*;
use parlance_runtime::error::status_from_code;
use serde_json::json;
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

/// The user of all tokens.
pub(crate) const USER_ID: i64 = 7;
const KID: &str = "k1";
/// Well below the time after which a silent stream is lost.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(300);

type Reply<T> = Result<Response<T>, Status>;

#[derive(Clone)]
pub(crate) struct AuthDouble {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    pair: Ed25519KeyPair,
    /// What every stream sends, from the first message on.
    messages: Mutex<Vec<WatchAccessStateResponse>>,
    has_more: Notify,
    /// True while no stream sends anything, as if the process hung.
    is_hung: AtomicBool,
    /// How all other calls are refused, if they are.
    refusal: Mutex<Option<(ErrorCode, Option<Duration>)>>,
    /// The clients of all calls, in order.
    clients: Mutex<Vec<ClientInfo>>,
}

impl AuthDouble {
    pub(crate) async fn start() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], parlance_devstack::free_port().unwrap()));
        let shared = Shared {
            pair: Ed25519KeyPair::generate().unwrap(),
            messages: Mutex::default(),
            has_more: Notify::new(),
            is_hung: AtomicBool::new(false),
            refusal: Mutex::default(),
            clients: Mutex::default(),
        };
        let double = Self { address, shared: Arc::new(shared) };
        double.send_state(&[KID], &[]);
        let service = AuthServiceServer::new(double.clone());
        let serve = tonic::transport::Server::builder().add_service(service).serve(address);
        #[expect(clippy::disallowed_methods, reason = "the task ends with the test")]
        tokio::spawn(serve);
        double
    }

    /// Sends the keys with these ids, and the inactive users.
    pub(crate) fn send_state(&self, kids: &[&str], inactive_user_ids: &[i64]) {
        let ed25519 = self.shared.pair.public_key().as_ref().to_vec();
        let key = |kid: &&str| PublicKey { kid: (*kid).to_owned(), ed25519: ed25519.clone() };
        let keys = kids.iter().map(key).collect();
        let state = AccessState { keys, inactive_user_ids: inactive_user_ids.to_vec() };
        self.push(Some(state), Vec::new());
    }

    /// Ends a session.
    pub(crate) fn end_session(&self, id: i64) {
        let tokens = Some(EndedTokens::SessionId(id));
        self.push(None, vec![EndedAccess { tokens, expires_at_s: now_s() + 600 }]);
    }

    fn push(&self, state: Option<AccessState>, ended: Vec<EndedAccess>) {
        let message = WatchAccessStateResponse {
            state,
            ended,
            is_complete: true,
            ..WatchAccessStateResponse::default()
        };
        self.shared.messages.lock().unwrap().push(message);
        self.shared.has_more.notify_waiters();
    }

    /// Lets the streams hang, or go on.
    pub(crate) fn hang(&self, is_hung: bool) {
        self.shared.is_hung.store(is_hung, Ordering::Relaxed);
    }

    /// Refuses all calls from now on.
    pub(crate) fn refuse(&self, code: ErrorCode, retry_after: Option<Duration>) {
        *self.shared.refusal.lock().unwrap() = Some((code, retry_after));
    }

    /// The clients of the calls since the last time.
    pub(crate) fn take_clients(&self) -> Vec<ClientInfo> {
        std::mem::take(&mut self.shared.clients.lock().unwrap())
    }

    /// An access token of a session.
    pub(crate) fn token(&self, session_id: i64) -> String {
        let (typ, kid) = (Some("at+jwt".to_owned()), Some(KID.to_owned()));
        let header = Header { typ, kid, ..Header::new(Algorithm::EdDSA) };
        let claims = json!({
            "iss": "parlance", "aud": "parlance", "sub": USER_ID.to_string(), "username": "ann",
            "sid": session_id.to_string(), "jti": "1", "iat": now_s(), "exp": now_s() + 600,
        });
        let key = self.shared.pair.to_pkcs8().unwrap();
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(key.as_ref())).unwrap()
    }

    /// Notes the client of a call, and refuses or answers it.
    fn answer<T>(&self, client: Option<ClientInfo>, answer: T) -> Reply<T> {
        self.shared.clients.lock().unwrap().extend(client);
        match *self.shared.refusal.lock().unwrap() {
            Some((code, retry_after)) => Err(status_from_code(code, retry_after)),
            None => Ok(Response::new(answer)),
        }
    }

    /// Waits for the message with this index, or for the time of a heartbeat.
    async fn message(&self, index: usize) -> (WatchAccessStateResponse, usize) {
        loop {
            let has_more = self.shared.has_more.notified();
            if !self.shared.is_hung.load(Ordering::Relaxed) {
                let message = self.shared.messages.lock().unwrap().get(index).cloned();
                if let Some(message) = message {
                    return (message, index + 1);
                }
            }
            let is_silent = tokio::time::timeout(HEARTBEAT_INTERVAL, has_more).await.is_err();
            if is_silent && !self.shared.is_hung.load(Ordering::Relaxed) {
                let heartbeat =
                    WatchAccessStateResponse { is_complete: true, ..Default::default() };
                return (heartbeat, index);
            }
        }
    }
}

fn now_s() -> i64 {
    Clock::system().now().as_seconds()
}

fn user() -> Option<User> {
    let username = "ann".to_owned();
    Some(User { id: USER_ID, username, is_active: true, ..User::default() })
}

fn tokens(is_refreshable: bool) -> Option<Tokens> {
    let refresh_token = RefreshToken { token: "refresh-secret".to_owned(), expires_in_s: 60 };
    Some(Tokens {
        access_token: "access-secret".to_owned(),
        expires_in_s: 30,
        session_id: 5,
        refresh_token: is_refreshable.then_some(refresh_token),
    })
}

#[tonic::async_trait]
impl AuthService for AuthDouble {
    type WatchAccessStateStream = BoxStream<'static, Result<WatchAccessStateResponse, Status>>;

    async fn register(&self, request: Request<RegisterRequest>) -> Reply<RegisterResponse> {
        self.answer(request.into_inner().client, RegisterResponse { user: user() })
    }

    async fn log_in(&self, request: Request<LogInRequest>) -> Reply<LogInResponse> {
        let LogInRequest { client, refresh, .. } = request.into_inner();
        self.answer(client, LogInResponse { tokens: tokens(refresh) })
    }

    async fn refresh(&self, request: Request<RefreshRequest>) -> Reply<RefreshResponse> {
        self.answer(request.into_inner().client, RefreshResponse { tokens: tokens(true) })
    }

    async fn exchange(&self, request: Request<ExchangeRequest>) -> Reply<ExchangeResponse> {
        let ExchangeRequest { client, refresh, .. } = request.into_inner();
        self.answer(client, ExchangeResponse { tokens: tokens(refresh), user: user() })
    }

    async fn log_out(&self, request: Request<LogOutRequest>) -> Reply<LogOutResponse> {
        let LogOutRequest { caller, client } = request.into_inner();
        assert_eq!(caller.unwrap().user_id, USER_ID);
        self.answer(client, LogOutResponse {})
    }

    async fn list_sessions(&self, _: Request<ListSessionsRequest>) -> Reply<ListSessionsResponse> {
        let session = |id| Session {
            id,
            created_at_us: 1,
            last_used_at_us: 2,
            expires_at_us: 3,
            user_agent: (id == 5).then(|| "curl".to_owned()),
            address: Some("192.0.2.1".to_owned()),
        };
        self.answer(None, ListSessionsResponse { sessions: vec![session(6), session(5)] })
    }

    async fn end_session(&self, request: Request<EndSessionRequest>) -> Reply<EndSessionResponse> {
        self.answer(request.into_inner().client, EndSessionResponse {})
    }

    async fn end_other_sessions(
        &self,
        request: Request<EndOtherSessionsRequest>,
    ) -> Reply<EndOtherSessionsResponse> {
        self.answer(request.into_inner().client, EndOtherSessionsResponse {})
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Reply<ChangePasswordResponse> {
        self.answer(request.into_inner().client, ChangePasswordResponse {})
    }

    async fn reset_password(
        &self,
        request: Request<ResetPasswordRequest>,
    ) -> Reply<ResetPasswordResponse> {
        self.answer(request.into_inner().client, ResetPasswordResponse {})
    }

    async fn update_profile(
        &self,
        _: Request<UpdateProfileRequest>,
    ) -> Reply<UpdateProfileResponse> {
        self.answer(None, UpdateProfileResponse { user: user() })
    }

    async fn get_users(&self, _: Request<GetUsersRequest>) -> Reply<GetUsersResponse> {
        self.answer(None, GetUsersResponse { users: user().into_iter().collect() })
    }

    async fn find_users(&self, _: Request<FindUsersRequest>) -> Reply<FindUsersResponse> {
        self.answer(None, FindUsersResponse::default())
    }

    async fn ensure_probe_account(
        &self,
        _: Request<EnsureProbeAccountRequest>,
    ) -> Reply<EnsureProbeAccountResponse> {
        self.answer(None, EnsureProbeAccountResponse { user: user() })
    }

    async fn get_access_state(
        &self,
        _: Request<GetAccessStateRequest>,
    ) -> Reply<GetAccessStateResponse> {
        let state = self.shared.messages.lock().unwrap()[0].state.clone();
        self.answer(None, GetAccessStateResponse { state })
    }

    async fn watch_access_state(
        &self,
        request: Request<WatchAccessStateRequest>,
    ) -> Reply<Self::WatchAccessStateStream> {
        assert!(request.into_inner().is_incremental);
        let messages = stream::unfold((self.clone(), 0), |(double, index)| async move {
            let (message, index) = double.message(index).await;
            Some((Ok(message), (double, index)))
        });
        Ok(Response::new(messages.boxed()))
    }
}
