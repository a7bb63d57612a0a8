//! The account and the room of the synthetic probes, which all gateways share.

use parlance_core::{ErrorCode, RoomId, Timestamp, UserId};
use parlance_proto::auth::EnsureProbeAccountRequest;
use parlance_proto::rooms::{CreateRoomRequest, DeleteRoomRequest, ListRoomsRequest};
use parlance_runtime::error::code_from_status;
use tonic::Status;

use crate::app::App;
use crate::auth::verifier::Identity;

/// The name of the room.
const ROOM_NAME: &str = "probe";

/// The sender of the probes, and the room that they go to.
pub(super) struct Target {
    pub(super) sender: Identity,
    pub(super) room_id: RoomId,
}

impl Target {
    /// Finds the account and the room, and makes what is missing. Several gateways may make a room
    /// at the same time: the one with the lowest id stays, and the others are deleted.
    pub(super) async fn ensure(app: &App) -> Result<Self, ErrorCode> {
        let response = app.auth.clone().ensure_probe_account(EnsureProbeAccountRequest {}).await;
        let user = response.map_err(code)?.into_inner().user.ok_or(ErrorCode::Internal)?;
        let mut target = Self {
            sender: Identity {
                user_id: UserId::new(user.id),
                username: user.username,
                expires_at: Timestamp::from_micros(i64::MAX),
            },
            room_id: RoomId::new(0),
        };
        let mut rooms = target.rooms(app).await?;
        if rooms.is_empty() {
            target.make_room(app).await?;
            rooms = target.rooms(app).await?;
        }
        target.room_id = rooms.iter().copied().min().ok_or(ErrorCode::Unavailable)?;
        for &room_id in rooms.iter().filter(|&&room_id| room_id != target.room_id) {
            target.delete_room(app, room_id).await?;
        }
        Ok(target)
    }

    /// Deletes the room with its messages. The next probe of each gateway makes or finds another.
    pub(super) async fn delete(&self, app: &App) -> Result<(), ErrorCode> {
        self.delete_room(app, self.room_id).await
    }

    async fn rooms(&self, app: &App) -> Result<Vec<RoomId>, ErrorCode> {
        let request = ListRoomsRequest { acting_user_id: self.sender.user_id.get() };
        let rooms = app.rooms.clone().list_rooms(request).await.map_err(code)?.into_inner().rooms;
        Ok(rooms.into_iter().map(|room| RoomId::new(room.id)).collect())
    }

    async fn make_room(&self, app: &App) -> Result<(), ErrorCode> {
        let request = CreateRoomRequest {
            acting_user_id: self.sender.user_id.get(),
            name: ROOM_NAME.to_owned(),
            member_ids: Vec::new(),
        };
        app.rooms.clone().create_room(request).await.map(drop).map_err(code)
    }

    async fn delete_room(&self, app: &App, room_id: RoomId) -> Result<(), ErrorCode> {
        let acting_user_id = self.sender.user_id.get();
        let request = DeleteRoomRequest { acting_user_id, room_id: room_id.get() };
        match app.rooms.clone().delete_room(request).await.map_err(code) {
            // Another gateway was faster.
            Ok(_) | Err(ErrorCode::RoomNotFound) => Ok(()),
            Err(code) => Err(code),
        }
    }
}

fn code(status: Status) -> ErrorCode {
    code_from_status(&status)
}
