//! The methods of `RoomsService`, one use case each.

use parlance_core::{RoomId, RoomName, UserId};
use parlance_proto::rooms::rooms_service_server::RoomsService;
use parlance_proto::rooms::{
    AddMembersRequest, AddMembersResponse, CheckMembershipsRequest, CheckMembershipsResponse,
    CreateRoomRequest, CreateRoomResponse, DeleteRoomRequest, DeleteRoomResponse,
    EnsureSystemRoomRequest, EnsureSystemRoomResponse, GetRoomRequest, GetRoomResponse,
    LeaveRoomRequest, LeaveRoomResponse, ListRoomsRequest, ListRoomsResponse, RemoveMemberRequest,
    RemoveMemberResponse, RenameRoomRequest, RenameRoomResponse, SetOwnerRequest, SetOwnerResponse,
    WatchMembershipsRequest, WatchMembershipsResponse,
};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::convert::{convert_all, user_ids};
use crate::app::App;
use crate::error::Error;
use crate::model::{Cursor, Question, UserPair};
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
impl RoomsService for Service {
    type WatchMembershipsStream = BoxStream<WatchMembershipsResponse>;

    async fn create_room(&self, request: Request<CreateRoomRequest>) -> Reply<CreateRoomResponse> {
        let CreateRoomRequest { acting_user_id, name, member_ids } = request.into_inner();
        let name = RoomName::parse(name).map_err(Error::NameInvalid)?;
        let (owner, users) = (UserId::new(acting_user_id), user_ids(&member_ids));
        let (room, skipped) = ops::create_room(&self.app, owner, &name, &users).await?;
        let skipped = convert_all(skipped);
        Ok(Response::new(CreateRoomResponse { room: Some(room.into()), skipped }))
    }

    async fn list_rooms(&self, request: Request<ListRoomsRequest>) -> Reply<ListRoomsResponse> {
        let acting_user = UserId::new(request.into_inner().acting_user_id);
        let (rooms, _reservation) = ops::list_rooms(&self.app, acting_user).await?;
        Ok(Response::new(ListRoomsResponse { rooms: convert_all(rooms) }))
    }

    async fn get_room(&self, request: Request<GetRoomRequest>) -> Reply<GetRoomResponse> {
        let GetRoomRequest { acting_user_id, room_id } = request.into_inner();
        let (acting_user, room_id) = (UserId::new(acting_user_id), RoomId::new(room_id));
        let (room, _reservation) = ops::get_room(&self.app, acting_user, room_id).await?;
        Ok(Response::new(GetRoomResponse { room: Some(room.into()) }))
    }

    async fn add_members(&self, request: Request<AddMembersRequest>) -> Reply<AddMembersResponse> {
        let AddMembersRequest { acting_user_id, room_id, member_ids } = request.into_inner();
        let (acting_user, room_id) = (UserId::new(acting_user_id), RoomId::new(room_id));
        let users = user_ids(&member_ids);
        let (room, skipped, _reservation) =
            ops::add_members(&self.app, acting_user, room_id, &users).await?;
        let skipped = convert_all(skipped);
        Ok(Response::new(AddMembersResponse { room: Some(room.into()), skipped }))
    }

    async fn leave_room(&self, request: Request<LeaveRoomRequest>) -> Reply<LeaveRoomResponse> {
        let LeaveRoomRequest { acting_user_id, room_id } = request.into_inner();
        let (acting_user, room_id) = (UserId::new(acting_user_id), RoomId::new(room_id));
        ops::leave_room(&self.app, acting_user, room_id).await?;
        Ok(Response::new(LeaveRoomResponse {}))
    }

    async fn remove_member(
        &self,
        request: Request<RemoveMemberRequest>,
    ) -> Reply<RemoveMemberResponse> {
        let RemoveMemberRequest { acting_user_id, room_id, member_id } = request.into_inner();
        let (acting_user, room_id) = (UserId::new(acting_user_id), RoomId::new(room_id));
        ops::remove_member(&self.app, acting_user, room_id, member_id.map(UserId::new)).await?;
        Ok(Response::new(RemoveMemberResponse {}))
    }

    async fn rename_room(&self, request: Request<RenameRoomRequest>) -> Reply<RenameRoomResponse> {
        let RenameRoomRequest { acting_user_id, room_id, name } = request.into_inner();
        let name = RoomName::parse(name).map_err(Error::NameInvalid)?;
        let (acting_user, room_id) = (UserId::new(acting_user_id), RoomId::new(room_id));
        let (room, _reservation) = ops::rename_room(&self.app, acting_user, room_id, &name).await?;
        Ok(Response::new(RenameRoomResponse { room: Some(room.into()) }))
    }

    async fn set_owner(&self, request: Request<SetOwnerRequest>) -> Reply<SetOwnerResponse> {
        let SetOwnerRequest { acting_user_id, room_id, owner_id } = request.into_inner();
        let (acting_user, room_id) = (UserId::new(acting_user_id), RoomId::new(room_id));
        let owner = owner_id.map(UserId::new);
        let (room, _reservation) = ops::set_owner(&self.app, acting_user, room_id, owner).await?;
        Ok(Response::new(SetOwnerResponse { room: Some(room.into()) }))
    }

    async fn delete_room(&self, request: Request<DeleteRoomRequest>) -> Reply<DeleteRoomResponse> {
        let DeleteRoomRequest { acting_user_id, room_id } = request.into_inner();
        let (acting_user, room_id) = (UserId::new(acting_user_id), RoomId::new(room_id));
        ops::delete_room(&self.app, acting_user, room_id).await?;
        Ok(Response::new(DeleteRoomResponse {}))
    }

    async fn ensure_system_room(
        &self,
        request: Request<EnsureSystemRoomRequest>,
    ) -> Reply<EnsureSystemRoomResponse> {
        let EnsureSystemRoomRequest { first_user_id, second_user_id } = request.into_inner();
        let users = UserPair::new(UserId::new(first_user_id), UserId::new(second_user_id))
            .ok_or(Error::Malformed("a system room needs two different users"))?;
        let room_id = ops::ensure_system_room(&self.app, users).await?;
        Ok(Response::new(EnsureSystemRoomResponse { room_id: room_id.get() }))
    }

    async fn check_memberships(
        &self,
        request: Request<CheckMembershipsRequest>,
    ) -> Reply<CheckMembershipsResponse> {
        let questions: Vec<Question> = convert_all(request.into_inner().questions);
        let answers = ops::check_memberships(&self.app, &questions).await?;
        Ok(Response::new(CheckMembershipsResponse { answers: convert_all(answers) }))
    }

    async fn watch_memberships(
        &self,
        request: Request<WatchMembershipsRequest>,
    ) -> Reply<Self::WatchMembershipsStream> {
        let cursor = request.into_inner().cursor;
        let batches = ops::watch_memberships(&self.app, (cursor > 0).then_some(Cursor(cursor)));
        let stream = ReceiverStream::new(batches).map(|batch| Ok(batch?.into()));
        Ok(Response::new(Box::pin(stream)))
    }
}
