//! A replica of the service inside the test, and shorthands for calling it.

use std::time::Duration;

use parlance_core::{Clock, ErrorCode, Timestamp};
use parlance_proto::rooms::rooms_service_client::RoomsServiceClient;
use parlance_proto::rooms::*;
use parlance_rooms::Config;
use parlance_runtime::grpc::Client;
pub(crate) use parlance_testkit::answer;
use parlance_testkit::{Service, free_address, fresh_database, grpc_server, postgres};
use sqlx::{Connection, PgConnection};
use tonic::Streaming;

const RETENTION: Duration = Duration::from_secs(600);

pub(crate) const OWNER: i64 = 1;
pub(crate) const FRIEND: i64 = 2;
pub(crate) const OTHER_USER: i64 = 3;
pub(crate) const SECOND_FRIEND: i64 = 4;

/// One replica. Its tasks end with the runtime of the test.
pub(crate) struct TestApp {
    pub(crate) database_url: String,
    pub(crate) clock: Clock,
    pub(crate) service: Service,
}

impl TestApp {
    /// Starts a replica on a new database.
    pub(crate) async fn start() -> Self {
        Self::start_with_retention(RETENTION).await
    }

    /// Starts a replica on a new database, with another retention of the membership log.
    pub(crate) async fn start_with_retention(retention: Duration) -> Self {
        let clock = Clock::manual(Timestamp::from_micros(1_800_000_000_000_000));
        Self::start_on(fresh_database().await.unwrap(), clock, retention).await
    }

    /// Starts another replica on the same database.
    pub(crate) async fn replica(&self) -> Self {
        Self::start_on(self.database_url.clone(), self.clock.clone(), RETENTION).await
    }

    /// Starts a replica on a database on which other replicas may be starting.
    pub(crate) async fn start_on(database_url: String, clock: Clock, retention: Duration) -> Self {
        let address = free_address().unwrap();
        let config = Config {
            grpc: grpc_server(address),
            postgres: postgres(&database_url),
            membership_log_retention: retention,
        };
        let service = Service::start("rooms", address, async |lifecycle| {
            parlance_rooms::start(config, clock.clone(), lifecycle).await
        });
        let service = service.await.unwrap();
        Self { database_url, clock, service }
    }

    /// The generated client.
    pub(crate) fn client(&self) -> RoomsServiceClient<Client> {
        RoomsServiceClient::new(self.service.client.clone())
    }

    /// A connection past the service, to look into its schema.
    pub(crate) async fn database(&self) -> PgConnection {
        PgConnection::connect(&self.database_url).await.unwrap()
    }

    pub(crate) async fn make_contacts(&self, first: i64, second: i64) -> i64 {
        let request = EnsureSystemRoomRequest { first_user_id: first, second_user_id: second };
        self.client().ensure_system_room(request).await.unwrap().into_inner().room_id
    }

    pub(crate) async fn create_room(&self, owner: i64, member_ids: &[i64]) -> CreateRoomResponse {
        let request = CreateRoomRequest {
            acting_user_id: owner,
            name: "a room".into(),
            member_ids: member_ids.to_vec(),
        };
        self.client().create_room(request).await.unwrap().into_inner()
    }

    /// The id of a room of [`OWNER`] with [`FRIEND`] in it.
    pub(crate) async fn room_of_two(&self) -> i64 {
        self.make_contacts(OWNER, FRIEND).await;
        self.create_room(OWNER, &[FRIEND]).await.room.unwrap().id
    }

    pub(crate) async fn list_rooms(&self, user: i64) -> Vec<Room> {
        self.client()
            .list_rooms(ListRoomsRequest { acting_user_id: user })
            .await
            .unwrap()
            .into_inner()
            .rooms
    }

    pub(crate) async fn get_room(&self, user: i64, room_id: i64) -> Result<Room, ErrorCode> {
        let request = GetRoomRequest { acting_user_id: user, room_id };
        Ok(answer(self.client().get_room(request)).await?.room.unwrap())
    }

    pub(crate) async fn add_members(
        &self,
        user: i64,
        room_id: i64,
        member_ids: &[i64],
    ) -> Result<AddMembersResponse, ErrorCode> {
        let request =
            AddMembersRequest { acting_user_id: user, room_id, member_ids: member_ids.to_vec() };
        answer(self.client().add_members(request)).await
    }

    pub(crate) async fn leave_room(&self, user: i64, room_id: i64) -> Result<(), ErrorCode> {
        let request = LeaveRoomRequest { acting_user_id: user, room_id };
        answer(self.client().leave_room(request)).await.map(|_| ())
    }

    pub(crate) async fn remove_member(
        &self,
        user: i64,
        room_id: i64,
        member_id: Option<i64>,
    ) -> Result<(), ErrorCode> {
        let request = RemoveMemberRequest { acting_user_id: user, room_id, member_id };
        answer(self.client().remove_member(request)).await.map(|_| ())
    }

    pub(crate) async fn rename_room(
        &self,
        user: i64,
        room_id: i64,
        name: &str,
    ) -> Result<Room, ErrorCode> {
        let request = RenameRoomRequest { acting_user_id: user, room_id, name: name.to_owned() };
        Ok(answer(self.client().rename_room(request)).await?.room.unwrap())
    }

    pub(crate) async fn set_owner(
        &self,
        user: i64,
        room_id: i64,
        owner_id: Option<i64>,
    ) -> Result<Room, ErrorCode> {
        let request = SetOwnerRequest { acting_user_id: user, room_id, owner_id };
        Ok(answer(self.client().set_owner(request)).await?.room.unwrap())
    }

    pub(crate) async fn delete_room(&self, user: i64, room_id: i64) -> Result<(), ErrorCode> {
        let request = DeleteRoomRequest { acting_user_id: user, room_id };
        answer(self.client().delete_room(request)).await.map(|_| ())
    }

    /// Checks pairs of room and user.
    pub(crate) async fn check_memberships(
        &self,
        questions: &[(i64, i64)],
    ) -> Result<Vec<(MembershipStatus, i64)>, ErrorCode> {
        let questions =
            questions.iter().map(|&(room_id, user_id)| MembershipQuestion { room_id, user_id });
        let request = CheckMembershipsRequest { questions: questions.collect() };
        let response = answer(self.client().check_memberships(request)).await?;
        Ok(response.answers.iter().map(|answer| (answer.status(), answer.room_version)).collect())
    }

    /// The number of membership changes that the room has seen.
    pub(crate) async fn room_version(&self, room_id: i64) -> i64 {
        self.check_memberships(&[(room_id, OWNER)]).await.unwrap()[0].1
    }

    pub(crate) async fn watch(&self, cursor: u64) -> Streaming<WatchMembershipsResponse> {
        self.client()
            .watch_memberships(WatchMembershipsRequest { cursor })
            .await
            .unwrap()
            .into_inner()
    }
}

/// The ids of the members in their order.
pub(crate) fn member_ids(room: &Room) -> Vec<i64> {
    room.members.iter().map(|member| member.user_id).collect()
}

/// Returns the skipped users with the reasons.
pub(crate) fn skipped(skipped: &[Skipped]) -> Vec<(i64, SkipReason)> {
    skipped.iter().map(|skipped| (skipped.user_id, skipped.reason())).collect()
}
