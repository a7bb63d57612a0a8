//! Starts a database, a rooms service and replicas of messaging inside the test, and calls them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parlance_core::{Clock, ErrorCode};
use parlance_devstack::free_port;
use parlance_messaging::Config;
use parlance_proto::messaging::history_answer::Outcome;
use parlance_proto::messaging::history_question::From;
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_proto::messaging::*;
use parlance_proto::rooms::rooms_service_client::RoomsServiceClient;
use parlance_proto::rooms::{
    CreateRoomRequest, DeleteRoomRequest, EnsureSystemRoomRequest, LeaveRoomRequest,
    RemoveMemberRequest,
};
use parlance_runtime::Lifecycle;
use parlance_runtime::config::{
    CredentialConfig, GrpcServerConfig, GrpcTlsConfig, PostgresConfig, RedisConfig,
};
use parlance_runtime::error::code_from_status;
use parlance_runtime::grpc::{Client, ClientConfig, Credential};
use parlance_testkit::{fresh_database, redis_url};
use sqlx::{Connection, PgConnection};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::{Response, Status};

use crate::gateway::Gateway;

const TOKEN: &str = "a-token-for-tests-only";
/// The timeout of everything that a test waits for.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) const OWNER: i64 = 1;
pub(crate) const FRIEND: i64 = 2;
pub(crate) const OUTSIDER: i64 = 3;

/// One replica of messaging, with everything it needs. Its tasks end with the runtime of the test.
pub(crate) struct TestApp {
    pub(crate) rooms: Rooms,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) config: Config,
    client: Client,
}

impl TestApp {
    /// Starts a replica on a database of its own.
    pub(crate) async fn start() -> Self {
        let rooms = Rooms::start().await;
        let config = config(&fresh_database().await.unwrap(), &redis_url().await.unwrap(), &rooms);
        Self::start_with(config, rooms).await
    }

    /// Starts a replica on a database of its own, with the given Redis.
    pub(crate) async fn start_at(redis_url: &str) -> Self {
        let rooms = Rooms::start().await;
        let config = config(&fresh_database().await.unwrap(), redis_url, &rooms);
        Self::start_with(config, rooms).await
    }

    /// Starts another replica on the same database.
    pub(crate) async fn replica(&self) -> Self {
        Self::start_with(self.config.clone(), self.rooms.clone()).await
    }

    /// Starts another replica on the same database, without a reachable Redis.
    pub(crate) async fn replica_without_redis(&self) -> Self {
        let mut config = self.config.clone();
        config.redis.redis_url = format!("redis://127.0.0.1:{}", free_port().unwrap()).into();
        Self::start_with(config, self.rooms.clone()).await
    }

    /// Starts a replica on a database of its own that reaches rooms through proxies.
    pub(crate) async fn start_behind(proxies: &[SocketAddr], rooms: Rooms) -> Self {
        let mut config =
            config(&fresh_database().await.unwrap(), &redis_url().await.unwrap(), &rooms);
        config.rooms_addresses =
            proxies.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        Self::start_with(config, rooms).await
    }

    /// Starts a replica on a database that other replicas may be starting on.
    pub(crate) async fn start_on(database_url: &str, rooms: &Rooms) -> Self {
        Self::start_with(config(database_url, &redis_url().await.unwrap(), rooms), rooms.clone())
            .await
    }

    /// Starts a replica on a database whose standby may have been told to be synchronous.
    pub(crate) async fn start_before_failover(
        database_url: &str,
        standby_is_synchronous: bool,
        rooms: &Rooms,
    ) -> Self {
        let mut config = config(database_url, &redis_url().await.unwrap(), rooms);
        config.postgres.standby_is_synchronous = standby_is_synchronous;
        Self::start_with(config, rooms.clone()).await
    }

    async fn start_with(mut config: Config, rooms: Rooms) -> Self {
        config.grpc.grpc_listen = free_address();
        let (lifecycle, _) = Lifecycle::new(Duration::from_secs(1));
        parlance_messaging::start(config.clone(), &lifecycle).await.unwrap();
        let client = connect("messaging", config.grpc.grpc_listen, &lifecycle).await;
        let app = Self { rooms, lifecycle, config, client };
        app.wait_until_rooms_is_reachable().await;
        app
    }

    /// The addresses of rooms are resolved in the background.
    async fn wait_until_rooms_is_reachable(&self) {
        let no_room = i64::MAX;
        eventually("rooms is reachable", async || {
            self.history(OWNER, no_room, 1, None).await == Err(ErrorCode::RoomNotFound)
        })
        .await;
    }

    /// Ends the replica as a crash would: all of its tasks stop.
    pub(crate) fn kill(&self) {
        self.lifecycle.draining().cancel();
        self.lifecycle.stopped().cancel();
    }

    /// The client for calls on the channel of one replica.
    pub(crate) fn balanced_client(&self) -> &Client {
        &self.client
    }

    /// The generated client.
    pub(crate) fn client(&self) -> MessagingServiceClient<Client> {
        MessagingServiceClient::new(self.client.clone())
    }

    /// Attaches a gateway to this replica.
    pub(crate) async fn attach(&self) -> Gateway {
        Gateway::attach(&self.client).await
    }

    /// Attaches a gateway and subscribes to the room.
    pub(crate) async fn attach_to(&self, room_id: i64) -> Gateway {
        let mut gateway = self.attach().await;
        gateway.subscribe(room_id, OWNER).await.unwrap();
        gateway
    }

    /// Connects to the database of the service.
    pub(crate) async fn database(&self) -> PgConnection {
        use secrecy::ExposeSecret;
        PgConnection::connect(self.config.postgres.database_url.expose_secret()).await.unwrap()
    }

    pub(crate) async fn edit(
        &self,
        user: i64,
        message_id: i64,
        content: &str,
    ) -> Result<EditMessageResponse, ErrorCode> {
        let request =
            EditMessageRequest { acting_user_id: user, message_id, content: content.into() };
        response(self.client().edit_message(request)).await
    }

    /// Returns the number of the change.
    pub(crate) async fn delete(&self, user: i64, message_id: i64) -> Result<i64, ErrorCode> {
        let request = DeleteMessageRequest { acting_user_id: user, message_id };
        Ok(response(self.client().delete_message(request)).await?.change_seq)
    }

    pub(crate) async fn history(
        &self,
        user: i64,
        room_id: i64,
        limit: u32,
        from: Option<From>,
    ) -> Result<HistoryPage, ErrorCode> {
        let question =
            HistoryQuestion { acting_user_id: user, room_id, limit, from, known_last_seq: None };
        Ok(self.read_history(vec![question]).await?.remove(0)?.unwrap())
    }

    /// Returns the result of each question; `None` if the page is unchanged.
    pub(crate) async fn read_history(
        &self,
        questions: Vec<HistoryQuestion>,
    ) -> Result<Vec<Result<Option<HistoryPage>, ErrorCode>>, ErrorCode> {
        let response =
            response(self.client().read_history(ReadHistoryRequest { questions })).await?;
        let decode = |answer: HistoryAnswer| match answer.outcome.unwrap() {
            Outcome::Page(page) => Ok(Some(page)),
            Outcome::Unchanged(_) => Ok(None),
            Outcome::Error(name) => Err(ErrorCode::from_name(&name).unwrap()),
        };
        Ok(response.answers.into_iter().map(decode).collect())
    }

    /// Reads all messages of a room, oldest first, page by page.
    pub(crate) async fn whole_history(&self, room_id: i64) -> Vec<Message> {
        let mut messages: Vec<Message> = Vec::new();
        loop {
            let last_id = messages.last().map_or(0, |message| message.id);
            let page =
                self.history(OWNER, room_id, 100, Some(From::AfterId(last_id))).await.unwrap();
            messages.extend(page.messages);
            if !page.has_more {
                return messages;
            }
        }
    }

    pub(crate) async fn changes(
        &self,
        room_id: i64,
        after_seq: i64,
        up_to_seq: i64,
    ) -> ReadChangesResponse {
        let request = ReadChangesRequest { room_id, after_seq, up_to_seq };
        response(self.client().read_changes(request)).await.unwrap()
    }
}

/// The rooms service, which can stop and start again at the same address. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rooms {
    config: parlance_rooms::Config,
    lifecycle: Lifecycle,
    /// Resolves when the service has ended. `stop` takes it.
    ended: Arc<Mutex<Option<BoxFuture<'static, ()>>>>,
    client: RoomsServiceClient<Client>,
}

impl Rooms {
    /// Starts a rooms service on a database of its own. Its room ids differ from those of other
    /// tests, which use the same Redis.
    pub(crate) async fn start() -> Self {
        static LAST_ID: AtomicI64 = AtomicI64::new(0);
        let first_id = LAST_ID.fetch_add(1_000, Ordering::Relaxed) + 1;
        let config = parlance_rooms::Config {
            grpc: grpc_server(),
            postgres: postgres(&fresh_database().await.unwrap()),
            membership_log_retention: Duration::from_secs(600),
        };
        let rooms = Self::start_with(config).await;
        let restart = format!("ALTER TABLE rooms.rooms ALTER COLUMN id RESTART WITH {first_id}");
        sqlx::query(sqlx::AssertSqlSafe(restart))
            .execute(&mut rooms.database().await)
            .await
            .unwrap();
        rooms
    }

    /// Starts another replica, at an address of its own.
    pub(crate) async fn another_replica(&self) -> Self {
        Self::start_with(parlance_rooms::Config { grpc: grpc_server(), ..self.config.clone() })
            .await
    }

    /// Starts the service again, at the same address.
    pub(crate) async fn restart(&self) -> Self {
        Self::start_with(self.config.clone()).await
    }

    async fn start_with(config: parlance_rooms::Config) -> Self {
        let (lifecycle, shutdown) = Lifecycle::new(Duration::from_secs(5));
        parlance_rooms::start(config.clone(), Clock::system(), &lifecycle).await.unwrap();
        let client =
            RoomsServiceClient::new(connect("rooms", config.grpc.grpc_listen, &lifecycle).await);
        let ended: BoxFuture<'static, ()> =
            Box::pin(async { _ = shutdown.run(async { Ok(()) }).await.unwrap() });
        Self { config, lifecycle, ended: Arc::new(Mutex::new(Some(ended))), client }
    }

    /// Stops the service and waits until all of its tasks have ended.
    pub(crate) async fn stop(&self) {
        // A task that ends too early ends its process.
        self.lifecycle.spawn_task("stop", async { Ok(()) });
        let ended = self.ended.lock().await.take().unwrap();
        ended.await;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.config.grpc.grpc_listen
    }

    pub(crate) async fn database(&self) -> PgConnection {
        use secrecy::ExposeSecret;
        PgConnection::connect(self.config.postgres.database_url.expose_secret()).await.unwrap()
    }

    /// Creates a room of [`OWNER`] with [`FRIEND`] in it.
    pub(crate) async fn room_of_two(&self) -> i64 {
        let contacts = EnsureSystemRoomRequest { first_user_id: OWNER, second_user_id: FRIEND };
        response(self.client.clone().ensure_system_room(contacts)).await.unwrap();
        self.create_room(OWNER, &[FRIEND]).await
    }

    /// Creates a room of [`OWNER`] alone.
    pub(crate) async fn room(&self) -> i64 {
        self.create_room(OWNER, &[]).await
    }

    pub(crate) async fn create_room(&self, owner: i64, member_ids: &[i64]) -> i64 {
        let request = CreateRoomRequest {
            acting_user_id: owner,
            name: "a room".into(),
            member_ids: member_ids.to_vec(),
        };
        response(self.client.clone().create_room(request)).await.unwrap().room.unwrap().id
    }

    pub(crate) async fn leave(&self, user: i64, room_id: i64) {
        let request = LeaveRoomRequest { acting_user_id: user, room_id };
        response(self.client.clone().leave_room(request)).await.unwrap();
    }

    pub(crate) async fn remove_friend(&self, room_id: i64) {
        let request =
            RemoveMemberRequest { acting_user_id: OWNER, room_id, member_id: Some(FRIEND) };
        response(self.client.clone().remove_member(request)).await.unwrap();
    }

    pub(crate) async fn delete(&self, room_id: i64) {
        let request = DeleteRoomRequest { acting_user_id: OWNER, room_id };
        response(self.client.clone().delete_room(request)).await.unwrap();
    }
}

/// Returns the response of a call, or the error code.
pub(crate) async fn response<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, ErrorCode> {
    call.await.map(Response::into_inner).map_err(|status| code_from_status(&status))
}

/// Checks again and again until the condition is true.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let checks = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(WAIT_TIMEOUT, checks).await.is_ok(), "timeout: {what}");
}

pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()))
}

fn config(database_url: &str, redis_url: &str, rooms: &Rooms) -> Config {
    Config {
        grpc: grpc_server(),
        postgres: postgres(database_url),
        redis: RedisConfig { redis_url: redis_url.to_owned().into(), redis_ca: None },
        rooms_addresses: rooms.address().to_string(),
        rooms_deadline: Duration::from_secs(1),
        log_poll_interval: Duration::from_millis(500),
    }
}

fn grpc_server() -> GrpcServerConfig {
    GrpcServerConfig { grpc_listen: free_address(), credential: credential() }
}

fn postgres(database_url: &str) -> PostgresConfig {
    PostgresConfig {
        database_url: database_url.to_owned().into(),
        database_max_connections: 10,
        standby_is_synchronous: false,
    }
}

fn credential() -> CredentialConfig {
    CredentialConfig { internal_token: TOKEN.into(), tls: GrpcTlsConfig::default() }
}

async fn connect(service: &'static str, address: SocketAddr, lifecycle: &Lifecycle) -> Client {
    let config = ClientConfig {
        service,
        addresses: address.to_string(),
        credential: Credential::start(&credential(), lifecycle).unwrap(),
        deadline: Duration::from_secs(10),
    };
    let client = Client::start(config, lifecycle).unwrap();
    client.replicas().wait_for(|replicas| !replicas.is_empty()).await.unwrap();
    client
}
