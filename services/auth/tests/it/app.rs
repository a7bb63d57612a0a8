//! Runs replicas of the service in this process, several of them on one database if a test needs
//! that, each with a client.

use std::time::Duration;

use clap::Parser;
use parlance_auth::config::{Config, RotateKeysConfig};
use parlance_core::{Clock, ErrorCode, Timestamp};
use parlance_devstack::free_port;
use parlance_proto::auth::auth_service_client::AuthServiceClient;
use parlance_proto::auth::{
    AccessState, CallerToken, ChangePasswordRequest, ClientInfo, EndedAccess,
    GetAccessStateRequest, ListSessionsRequest, LogInRequest, LogOutRequest, RefreshRequest,
    RegisterRequest, ResetPasswordRequest, Session, Tokens, User, WatchAccessStateRequest,
    WatchAccessStateResponse, ended_access,
};
use parlance_runtime::Lifecycle;
use parlance_runtime::error::code_from_status;
use parlance_runtime::grpc::{Client, ClientConfig, Credential};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tonic::{Status, Streaming};

pub(crate) const PASSWORD: &str = "correct horse";
const INTERNAL_TOKEN: &str = "internal-token-of-the-tests";
/// Far above what any call takes, so that a test fails only if the service hangs.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Parses arguments as the program does.
#[derive(Parser)]
struct Arguments<T: clap::Args> {
    #[command(flatten)]
    config: T,
}

fn parse<T: clap::Args>(arguments: &[&[&str]]) -> T {
    let program = ["auth"];
    Arguments::parse_from(program.iter().chain(arguments.iter().copied().flatten())).config
}

/// A running replica.
pub(crate) struct Auth {
    pub(crate) database_url: String,
    /// Stands still until the test advances it.
    pub(crate) clock: Clock,
    pub(crate) client: Client,
    pub(crate) lifecycle: Lifecycle,
}

impl Auth {
    /// Starts a replica on an empty database, with cheap hashes.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a replica on an empty database, with more arguments for `auth serve`.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let database_url = parlance_testkit::fresh_database().await.unwrap();
        let clock = Clock::manual(Timestamp::from_micros(1_800_000_000_000_000));
        Self::start_on(&database_url, clock, arguments).await
    }

    /// Starts a replica on a database that other replicas may use.
    pub(crate) async fn start_on(database_url: &str, clock: Clock, arguments: &[&str]) -> Self {
        let address = format!("127.0.0.1:{}", free_port().unwrap());
        let own = [
            "--database-url",
            database_url,
            "--internal-token",
            INTERNAL_TOKEN,
            "--grpc-listen",
            &address,
        ];
        let cost =
            if arguments.contains(&"--bcrypt-cost") { &[][..] } else { &["--bcrypt-cost", "4"] };
        let config: Config = parse(&[&own, cost, arguments]);

        let (lifecycle, _) = Lifecycle::new(Duration::from_secs(20));
        let credential = Credential::start(&config.grpc.credential, &lifecycle).unwrap();
        parlance_auth::start(config, clock.clone(), &lifecycle).await.unwrap();
        let client_config = ClientConfig {
            service: "auth",
            addresses: address,
            credential,
            deadline: CALL_TIMEOUT,
        };
        let client = Client::start(client_config, &lifecycle).unwrap();
        client.replicas().wait_for(|replicas| !replicas.is_empty()).await.unwrap();
        Self { database_url: database_url.to_owned(), clock, client, lifecycle }
    }

    /// The generated client.
    pub(crate) fn grpc(&self) -> AuthServiceClient<Client> {
        AuthServiceClient::new(self.client.clone())
    }

    pub(crate) async fn try_register(
        &self,
        username: &str,
        password: &str,
    ) -> Result<User, Status> {
        let request = RegisterRequest { password: password.into(), ..registration(username, "") };
        let response = self.grpc().register(request).await?;
        Ok(response.into_inner().user.unwrap())
    }

    /// Registers with the password that all have here.
    pub(crate) async fn register(&self, username: &str) -> User {
        self.try_register(username, PASSWORD).await.unwrap()
    }

    pub(crate) async fn log_in(&self, username: &str, password: &str) -> Result<Tokens, Status> {
        self.log_in_as(username, password, false, None).await
    }

    /// Logs in as a client with this address does.
    pub(crate) async fn log_in_from(
        &self,
        username: &str,
        password: &str,
        client_address: &str,
    ) -> Result<Tokens, Status> {
        self.log_in_as(username, password, false, client(client_address)).await
    }

    pub(crate) async fn log_in_as(
        &self,
        username: &str,
        password: &str,
        refresh: bool,
        client: Option<ClientInfo>,
    ) -> Result<Tokens, Status> {
        let (username, password) = (username.into(), password.into());
        let request = LogInRequest { username, password, client, refresh };
        Ok(self.grpc().log_in(request).await?.into_inner().tokens.unwrap())
    }

    /// Logs in with the password that all have here, as a client that can refresh.
    pub(crate) async fn log_in_to_refresh(&self, username: &str) -> Tokens {
        self.log_in_as(username, PASSWORD, true, None).await.unwrap()
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Result<Tokens, Status> {
        let request = RefreshRequest { refresh_token: refresh_token.into(), client: None };
        Ok(self.grpc().refresh(request).await?.into_inner().tokens.unwrap())
    }

    pub(crate) async fn log_out(&self, user_id: i64, session_id: Option<i64>) {
        let caller = Some(caller(user_id, session_id));
        self.grpc().log_out(LogOutRequest { caller, client: None }).await.unwrap();
    }

    /// Changes the password as the user of a session, from a client without an address.
    pub(crate) async fn change_password(
        &self,
        user_id: i64,
        session_id: i64,
        current: Option<&str>,
        new: &str,
    ) -> Result<(), Status> {
        let request = ChangePasswordRequest {
            caller: Some(caller(user_id, Some(session_id))),
            current_password: current.map(Into::into),
            new_password: new.into(),
            client: None,
        };
        self.grpc().change_password(request).await.map(drop)
    }

    pub(crate) async fn reset_password(&self, code: &str, new: &str) -> Result<(), Status> {
        let (code, new_password) = (code.into(), new.into());
        let request = ResetPasswordRequest { code, new_password, client: None };
        self.grpc().reset_password(request).await.map(drop)
    }

    pub(crate) async fn sessions(&self, user_id: i64) -> Vec<Session> {
        let response = self.grpc().list_sessions(ListSessionsRequest { user_id }).await.unwrap();
        response.into_inner().sessions
    }

    pub(crate) async fn session_ids(&self, user_id: i64) -> Vec<i64> {
        self.sessions(user_id).await.iter().map(|session| session.id).collect()
    }

    pub(crate) async fn access_state(&self) -> AccessState {
        let response = self.grpc().get_access_state(GetAccessStateRequest {}).await.unwrap();
        response.into_inner().state.unwrap()
    }

    pub(crate) async fn watch(&self) -> Watch {
        self.watch_as(true).await
    }

    /// Watches as a verifier that accepts messages without a state, or as one that does not.
    pub(crate) async fn watch_as(&self, is_incremental: bool) -> Watch {
        let request = WatchAccessStateRequest { is_incremental };
        let stream = self.grpc().watch_access_state(request).await;
        Watch { stream: stream.unwrap().into_inner(), ended: Vec::new() }
    }

    /// Runs SQL behind the back of the service.
    pub(crate) async fn execute(&self, statement: &'static str) {
        self.run(statement.to_owned()).await;
    }

    /// Runs SQL that a test has put together.
    pub(crate) async fn run(&self, statement: String) {
        let mut connection = self.database().await;
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }

    pub(crate) async fn count(&self, statement: &'static str) -> i64 {
        self.count_of(statement.to_owned()).await
    }

    /// Returns the number that a statement selects which a test has put together.
    pub(crate) async fn count_of(&self, statement: String) -> i64 {
        let mut connection = self.database().await;
        sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut connection).await.unwrap()
    }

    /// Opens a connection to the database behind the back of the service.
    pub(crate) async fn database(&self) -> PgConnection {
        PgConnection::connect(&self.database_url).await.unwrap()
    }

    /// Waits until a statement in this database waits for a lock.
    pub(crate) async fn wait_for_blocked_statement(&self) {
        let blocked = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while self.count(blocked).await == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// The settings of `auth rotate-keys` on this database.
    pub(crate) fn rotation(&self, arguments: &[&str]) -> RotateKeysConfig {
        parse(&[&["--database-url", &self.database_url], arguments])
    }
}

/// A stream of access states.
pub(crate) struct Watch {
    stream: Streaming<WatchAccessStateResponse>,
    /// What has ended, as far as it has come.
    pub(crate) ended: Vec<EndedAccess>,
}

impl Watch {
    /// The next message with any news, or `None` at the end of the stream.
    pub(crate) async fn message(&mut self) -> Option<WatchAccessStateResponse> {
        loop {
            let message = self.any_message().await?;
            if message.state.is_some() || !message.ended.is_empty() {
                return Some(message);
            }
        }
    }

    /// The next message, even an empty one, or `None` at the end of the stream.
    pub(crate) async fn any_message(&mut self) -> Option<WatchAccessStateResponse> {
        let message = tokio::time::timeout(CALL_TIMEOUT, self.stream.message()).await;
        let message = message.expect("nothing came").unwrap()?;
        self.ended.extend(message.ended.iter().cloned());
        Some(message)
    }

    /// The next state, or `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<AccessState> {
        loop {
            if let Some(state) = self.message().await?.state {
                return Some(state);
            }
        }
    }

    /// Waits until this many sessions or tokens have ended.
    pub(crate) async fn wait_for_ended(&mut self, count: usize) -> &[EndedAccess] {
        while self.ended.len() < count {
            self.message().await.expect("the stream has ended");
        }
        &self.ended
    }

    /// The sessions that have ended, as far as they have come, ascending.
    pub(crate) fn ended_sessions(&self) -> Vec<i64> {
        let session = |ended: &EndedAccess| match ended.tokens {
            Some(ended_access::Tokens::SessionId(session_id)) => Some(session_id),
            _ => None,
        };
        let mut sessions: Vec<i64> = self.ended.iter().filter_map(session).collect();
        sessions.sort_unstable();
        sessions
    }

    /// Waits for a state of this kind; what comes before it is passed over.
    pub(crate) async fn wait_for(
        &mut self,
        is_wanted: impl Fn(&AccessState) -> bool,
    ) -> AccessState {
        loop {
            let state = self.next().await.expect("the stream has ended");
            if is_wanted(&state) {
                return state;
            }
        }
    }
}

/// The access token of a caller, as a gateway describes it.
pub(crate) fn caller(user_id: i64, session_id: Option<i64>) -> CallerToken {
    CallerToken {
        user_id,
        session_id,
        token_id: format!("token of {user_id}"),
        expires_at_s: 1_800_000_900,
    }
}

/// The text of the refresh token.
pub(crate) fn refresh_token(tokens: &Tokens) -> &str {
    &tokens.refresh_token.as_ref().unwrap().token
}

/// A registration with the password that all have here, for a client with this address.
pub(crate) fn registration(username: impl Into<String>, client_address: &str) -> RegisterRequest {
    RegisterRequest {
        username: username.into(),
        password: PASSWORD.into(),
        client: client(client_address),
    }
}

/// A client with this address.
pub(crate) fn client(address: &str) -> Option<ClientInfo> {
    Some(ClientInfo { address: address.into(), ..ClientInfo::default() })
}

/// Waits until the check is true.
pub(crate) async fn eventually(is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(CALL_TIMEOUT, wait).await.expect("it did not happen");
}

/// Returns the error code of a refused call.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, Status>) -> ErrorCode {
    code_from_status(&result.expect_err("the call was not refused"))
}
