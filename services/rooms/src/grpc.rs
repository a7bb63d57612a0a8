//! Decodes requests, calls the use case, encodes its answer. The only place that knows the
//! generated types.

use parlance_core::{RoomId, RoomName, UserId};
use parlance_proto::rooms as proto;
use parlance_proto::rooms::rooms_service_server::RoomsService;
use parlance_runtime::error::status;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::error::Error;
use crate::model::{
    Answer, Batch, Cursor, End, EndReason, Kind, Member, MembershipStatus, Pair, Question, Room,
    SkipReason, Skipped,
};
use crate::ops;

/// The service as gRPC sees it.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    app: App,
}

impl Api {
    pub(crate) fn new(app: App) -> Self {
        Self { app }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        status(&error)
    }
}

#[tonic::async_trait]
impl RoomsService for Api {
    type WatchMembershipsStream = std::pin::Pin<
        Box<
            dyn tokio_stream::Stream<Item = Result<proto::WatchMembershipsResponse, Status>> + Send,
        >,
    >;

    async fn create_room(
        &self,
        request: Request<proto::CreateRoomRequest>,
    ) -> Result<Response<proto::CreateRoomResponse>, Status> {
        let request = request.into_inner();
        let name = RoomName::parse(request.name).map_err(Error::NameInvalid)?;
        let (acting_user, wanted) =
            (UserId::new(request.acting_user_id), user_ids(&request.member_ids));
        let (room, skipped) = ops::create_room(&self.app, acting_user, &name, &wanted).await?;
        Ok(Response::new(proto::CreateRoomResponse {
            room: Some(room.into()),
            skipped: convert_all(skipped),
        }))
    }

    async fn list_rooms(
        &self,
        request: Request<proto::ListRoomsRequest>,
    ) -> Result<Response<proto::ListRoomsResponse>, Status> {
        let acting_user = UserId::new(request.into_inner().acting_user_id);
        let rooms = ops::list_rooms(&self.app, acting_user).await?;
        Ok(Response::new(proto::ListRoomsResponse { rooms: convert_all(rooms) }))
    }

    async fn get_room(
        &self,
        request: Request<proto::GetRoomRequest>,
    ) -> Result<Response<proto::GetRoomResponse>, Status> {
        let request = request.into_inner();
        let (acting_user, room_id) =
            (UserId::new(request.acting_user_id), RoomId::new(request.room_id));
        let room = ops::get_room(&self.app, acting_user, room_id).await?;
        Ok(Response::new(proto::GetRoomResponse { room: Some(room.into()) }))
    }

    async fn add_members(
        &self,
        request: Request<proto::AddMembersRequest>,
    ) -> Result<Response<proto::AddMembersResponse>, Status> {
        let request = request.into_inner();
        let (acting_user, room_id) =
            (UserId::new(request.acting_user_id), RoomId::new(request.room_id));
        let wanted = user_ids(&request.member_ids);
        let (room, skipped) = ops::add_members(&self.app, acting_user, room_id, &wanted).await?;
        Ok(Response::new(proto::AddMembersResponse {
            room: Some(room.into()),
            skipped: convert_all(skipped),
        }))
    }

    async fn leave_room(
        &self,
        request: Request<proto::LeaveRoomRequest>,
    ) -> Result<Response<proto::LeaveRoomResponse>, Status> {
        let request = request.into_inner();
        let (acting_user, room_id) =
            (UserId::new(request.acting_user_id), RoomId::new(request.room_id));
        ops::leave_room(&self.app, acting_user, room_id).await?;
        Ok(Response::new(proto::LeaveRoomResponse {}))
    }

    async fn remove_member(
        &self,
        request: Request<proto::RemoveMemberRequest>,
    ) -> Result<Response<proto::RemoveMemberResponse>, Status> {
        let request = request.into_inner();
        let (acting_user, room_id) =
            (UserId::new(request.acting_user_id), RoomId::new(request.room_id));
        ops::remove_member(&self.app, acting_user, room_id, request.member_id.map(UserId::new))
            .await?;
        Ok(Response::new(proto::RemoveMemberResponse {}))
    }

    async fn delete_room(
        &self,
        request: Request<proto::DeleteRoomRequest>,
    ) -> Result<Response<proto::DeleteRoomResponse>, Status> {
        let request = request.into_inner();
        let (acting_user, room_id) =
            (UserId::new(request.acting_user_id), RoomId::new(request.room_id));
        ops::delete_room(&self.app, acting_user, room_id).await?;
        Ok(Response::new(proto::DeleteRoomResponse {}))
    }

    async fn ensure_system_room(
        &self,
        request: Request<proto::EnsureSystemRoomRequest>,
    ) -> Result<Response<proto::EnsureSystemRoomResponse>, Status> {
        let request = request.into_inner();
        let (first, second) =
            (UserId::new(request.first_user_id), UserId::new(request.second_user_id));
        let pair = Pair::of(first, second)
            .ok_or(Error::Malformed("a user is no contact of themselves"))?;
        let room_id = ops::ensure_system_room(&self.app, pair).await?;
        Ok(Response::new(proto::EnsureSystemRoomResponse { room_id: room_id.get() }))
    }

    async fn check_memberships(
        &self,
        request: Request<proto::CheckMembershipsRequest>,
    ) -> Result<Response<proto::CheckMembershipsResponse>, Status> {
        let questions: Vec<Question> = convert_all(request.into_inner().questions);
        let answers = ops::check_memberships(&self.app, &questions).await?;
        Ok(Response::new(proto::CheckMembershipsResponse { answers: convert_all(answers) }))
    }

    async fn watch_memberships(
        &self,
        request: Request<proto::WatchMembershipsRequest>,
    ) -> Result<Response<Self::WatchMembershipsStream>, Status> {
        let cursor = request.into_inner().cursor;
        let batches = ops::watch_memberships(&self.app, (cursor > 0).then_some(Cursor(cursor)));
        let stream = ReceiverStream::new(batches).map(|batch| Ok(batch?.into()));
        Ok(Response::new(Box::pin(stream)))
    }
}

fn user_ids(numbers: &[i64]) -> Vec<UserId> {
    numbers.iter().copied().map(UserId::new).collect()
}

fn convert_all<T: Into<U>, U>(items: Vec<T>) -> Vec<U> {
    items.into_iter().map(T::into).collect()
}

impl From<Room> for proto::Room {
    fn from(room: Room) -> Self {
        let (is_system, name, owner_id) = match room.kind {
            Kind::System => (true, None, None),
            Kind::User { name, owner_id } => (false, Some(name), Some(owner_id.get())),
        };
        Self {
            id: room.id.get(),
            name,
            owner_id,
            is_system,
            members: room.members.iter().copied().map(proto::Member::from).collect(),
            created_at_us: room.created_at.as_micros(),
            updated_at_us: room.updated_at.as_micros(),
        }
    }
}

impl From<Member> for proto::Member {
    fn from(member: Member) -> Self {
        Self { user_id: member.user_id.get(), joined_at_us: member.joined_at.as_micros() }
    }
}

impl From<Skipped> for proto::Skipped {
    fn from(skipped: Skipped) -> Self {
        let reason = match skipped.reason {
            SkipReason::NotAContact => proto::SkipReason::NotAContact,
            SkipReason::AlreadyAMember => proto::SkipReason::AlreadyAMember,
        };
        Self { user_id: skipped.user_id.get(), reason: reason.into() }
    }
}

impl From<proto::MembershipQuestion> for Question {
    fn from(question: proto::MembershipQuestion) -> Self {
        Self { room_id: RoomId::new(question.room_id), user_id: UserId::new(question.user_id) }
    }
}

impl From<Answer> for proto::MembershipAnswer {
    fn from(answer: Answer) -> Self {
        let status = match answer.status {
            MembershipStatus::RoomNotFound => proto::MembershipStatus::RoomNotFound,
            MembershipStatus::NotMember => proto::MembershipStatus::NotMember,
            MembershipStatus::Member => proto::MembershipStatus::Member,
            MembershipStatus::Owner => proto::MembershipStatus::Owner,
        };
        Self { status: status.into(), room_version: answer.room_version.0 }
    }
}

impl From<Batch> for proto::WatchMembershipsResponse {
    fn from(batch: Batch) -> Self {
        Self { ends: convert_all(batch.ends), cursor: batch.cursor.0, reset: batch.reset }
    }
}

impl From<End> for proto::MembershipEnd {
    fn from(end: End) -> Self {
        let reason = match end.reason {
            EndReason::Left => proto::EndReason::Left,
            EndReason::Removed => proto::EndReason::Removed,
            EndReason::RoomDeleted => proto::EndReason::RoomDeleted,
        };
        Self {
            room_id: end.room_id.get(),
            user_id: end.user_id.map(UserId::get),
            reason: reason.into(),
            room_version: end.room_version.0,
        }
    }
}
