//! Runs replicas of the contacts service and a rooms service in this process, with shorthands for
//! their calls.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use parlance_contacts::Config;
use parlance_core::{Clock, ErrorCode, Timestamp};
use parlance_proto::contacts::contacts_service_client::ContactsServiceClient;
use parlance_proto::contacts::*;
use parlance_proto::rooms::rooms_service_client::RoomsServiceClient;
use parlance_proto::rooms::{ListRoomsRequest, Room};
use parlance_runtime::Lifecycle;
use parlance_runtime::config::{CredentialConfig, GrpcServerConfig, GrpcTlsConfig, PostgresConfig};
use parlance_runtime::error::code_from_status;
use parlance_runtime::grpc::{Client, ClientConfig, Credential};
use parlance_testkit::fresh_database;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};
use tonic::{Response, Status};

const TOKEN: &str = "a-token-for-tests-only";

/// How long an invitation may stay unanswered: a century, because the clock of the tests is not that
/// of the database.
const INVITATION_TTL: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The most open invitations that a user may have made.
pub(crate) const MAX_OPEN_INVITATIONS: u32 = 20;

pub(crate) const ALICE: i64 = 1;
pub(crate) const BOB: i64 = 2;
pub(crate) const CAROL: i64 = 3;

/// A replica. Its tasks end with the runtime of the test.
pub(crate) struct TestApp {
    pub(crate) database_url: String,
    pub(crate) clock: Clock,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) rooms_address: SocketAddr,
    client: ContactsServiceClient<Client>,
    _keep_alive: Box<dyn std::any::Any>,
}

/// A rooms service, which may start later than the replicas of contacts.
pub(crate) struct RoomsApp {
    client: RoomsServiceClient<Client>,
    _keep_alive: Box<dyn std::any::Any>,
}

impl TestApp {
    /// Starts a replica on a database of its own, and a rooms service.
    pub(crate) async fn start() -> (Self, RoomsApp) {
        let app = Self::start_without_rooms().await;
        let rooms = app.start_rooms().await;
        (app, rooms)
    }

    /// Starts a replica without a rooms service.
    pub(crate) async fn start_without_rooms() -> Self {
        let clock = Clock::manual(Timestamp::from_micros(1_800_000_000_000_000));
        Self::start_on(fresh_database().await.unwrap(), clock, free_address()).await
    }

    /// Starts another replica on the same database.
    pub(crate) async fn replica(&self) -> Self {
        Self::start_on(self.database_url.clone(), self.clock.clone(), self.rooms_address).await
    }

    /// Starts a replica on a database that other replicas may use.
    pub(crate) async fn start_on(
        database_url: String,
        clock: Clock,
        rooms_address: SocketAddr,
    ) -> Self {
        let (lifecycle, shutdown) = Lifecycle::new(Duration::from_secs(1));
        let listen = free_address();
        let config = Config {
            grpc: grpc(listen),
            postgres: postgres(&database_url),
            rooms_addresses: rooms_address.to_string(),
            invitation_ttl: INVITATION_TTL,
            max_open_invitations: MAX_OPEN_INVITATIONS,
        };
        parlance_contacts::start(config, clock.clone(), &lifecycle).await.unwrap();
        let client = ContactsServiceClient::new(connect("contacts", listen, &lifecycle).await);
        Self {
            database_url,
            clock,
            lifecycle,
            rooms_address,
            client,
            _keep_alive: Box::new(shutdown),
        }
    }

    /// Starts the rooms service at the address that this replica calls.
    pub(crate) async fn start_rooms(&self) -> RoomsApp {
        let (lifecycle, shutdown) = Lifecycle::new(Duration::from_secs(1));
        let config = parlance_rooms::Config {
            grpc: grpc(self.rooms_address),
            postgres: postgres(&self.database_url),
            membership_log_retention: Duration::from_secs(600),
        };
        parlance_rooms::start(config, self.clock.clone(), &lifecycle).await.unwrap();
        let client =
            RoomsServiceClient::new(connect("rooms", self.rooms_address, &lifecycle).await);
        RoomsApp { client, _keep_alive: Box::new(shutdown) }
    }

    /// Connects to the database, past the service.
    pub(crate) async fn database(&self) -> PgConnection {
        PgConnection::connect(&self.database_url).await.unwrap()
    }

    /// Waits until every system room is made.
    pub(crate) async fn until_the_outbox_is_empty(&self) {
        let mut database = self.database().await;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let count = sqlx::query_scalar("SELECT COUNT(*) FROM contacts.outbox");
            let pending: i64 = count.fetch_one(&mut database).await.unwrap();
            if pending == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "{pending} system rooms are not made");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Puts the database into the state in which another replica has accepted this invitation and
    /// not made the system room yet. Its claim on the outbox row lasts an hour.
    pub(crate) async fn commit_contact_without_room(&self, invitation_id: i64) {
        let commit = "WITH pair AS (
                 UPDATE contacts.pairs SET state = 'contacts', contacts_since = now()
                 WHERE id = $1
                 RETURNING low_id, high_id
             )
             INSERT INTO contacts.outbox (low_id, high_id, claimed_until)
             SELECT low_id, high_id, now() + INTERVAL '1 hour' FROM pair";
        let done = sqlx::query(commit)
            .bind(invitation_id)
            .execute(&mut self.database().await)
            .await
            .unwrap();
        assert_eq!(done.rows_affected(), 1);
    }

    pub(crate) async fn invite(&self, from: i64, to: i64) -> Result<Invitation, ErrorCode> {
        let request = InviteRequest { acting_user_id: from, invited_user_id: to };
        Ok(answer(self.client.clone().invite(request)).await?.invitation.unwrap())
    }

    pub(crate) async fn accept(&self, user: i64, invitation_id: i64) -> Result<Contact, ErrorCode> {
        let request = AcceptInvitationRequest { acting_user_id: user, invitation_id };
        Ok(answer(self.client.clone().accept_invitation(request)).await?.contact.unwrap())
    }

    pub(crate) async fn reject(&self, user: i64, invitation_id: i64) -> Result<(), ErrorCode> {
        let request = RejectInvitationRequest { acting_user_id: user, invitation_id };
        answer(self.client.clone().reject_invitation(request)).await.map(|_| ())
    }

    pub(crate) async fn withdraw(&self, user: i64, invitation_id: i64) -> Result<(), ErrorCode> {
        let request = WithdrawInvitationRequest { acting_user_id: user, invitation_id };
        answer(self.client.clone().withdraw_invitation(request)).await.map(|_| ())
    }

    /// Lets an invitation end that nobody has answered.
    pub(crate) async fn expire(&self, invitation_id: i64) {
        let done = sqlx::query(
            "UPDATE contacts.pairs SET invited_at = now() - $2::INTERVAL WHERE id = $1",
        )
        .bind(invitation_id)
        .bind(INVITATION_TTL)
        .execute(&mut self.database().await)
        .await
        .unwrap();
        assert_eq!(done.rows_affected(), 1);
    }

    pub(crate) async fn make_contacts(&self, first: i64, second: i64) -> Contact {
        let invitation = self.invite(first, second).await.unwrap();
        self.accept(second, invitation.id).await.unwrap()
    }

    pub(crate) async fn list(&self, user: i64) -> ListContactsResponse {
        answer(self.client.clone().list_contacts(ListContactsRequest { acting_user_id: user }))
            .await
            .unwrap()
    }

    pub(crate) async fn are_contacts(&self, first: i64, second: i64) -> bool {
        let request = CheckContactRequest { acting_user_id: first, other_user_id: second };
        answer(self.client.clone().check_contact(request)).await.unwrap().are_contacts
    }

    /// Asserts that the two users are contacts, without an invitation left and with one room.
    pub(crate) async fn assert_only_contacts(&self, rooms: &RoomsApp, first: i64, second: i64) {
        for (user, other) in [(first, second), (second, first)] {
            let list = self.list(user).await;
            assert!(list.sent.is_empty() && list.received.is_empty(), "{list:?}");
            assert_eq!(
                list.contacts.iter().map(|contact| contact.other_user_id).collect::<Vec<_>>(),
                [other]
            );
            assert_eq!(rooms.list(user).await.len(), 1);
        }
    }
}

impl RoomsApp {
    pub(crate) async fn list(&self, user: i64) -> Vec<Room> {
        answer(self.client.clone().list_rooms(ListRoomsRequest { acting_user_id: user }))
            .await
            .unwrap()
            .rooms
    }
}

/// Returns the answer to a call, or its error code.
async fn answer<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, ErrorCode> {
    call.await.map(Response::into_inner).map_err(|status| code_from_status(&status))
}

pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], parlance_devstack::free_port().unwrap()))
}

fn grpc(listen: SocketAddr) -> GrpcServerConfig {
    GrpcServerConfig { grpc_listen: listen, credential: credential() }
}

fn postgres(database_url: &str) -> PostgresConfig {
    PostgresConfig {
        database_url: database_url.into(),
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
