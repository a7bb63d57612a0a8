//! The account and the room of the synthetic probes, which all gateways share.

use parlance_core::{ErrorCode, RoomId, UserId};
use parlance_proto::auth::EnsureProbeAccountRequest;
use parlance_proto::rooms::{CreateRoomRequest, DeleteRoomRequest, ListRoomsRequest};
use parlance_runtime::error::code_from_status;
use tonic::Status;

use crate::app::App;
use crate::auth::identity::{Identity, Token};

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
        let mut rooms = list_rooms(app, user.id).await?;
        if rooms.is_empty() {
            create_room(app, user.id).await?;
            rooms = list_rooms(app, user.id).await?;
        }
        rooms.sort_unstable();
        let (&room_id, others) = rooms.split_first().ok_or(ErrorCode::Unavailable)?;
        for &other in others {
            delete_room(app, user.id, other).await?;
        }
        let sender = Identity {
            user_id: UserId::new(user.id),
            username: user.username,
            token: Token::internal(),
        };
        Ok(Self { sender, room_id: RoomId::new(room_id) })
    }

    /// Deletes the room with its messages. The next probe of each gateway makes or finds another.
    pub(super) async fn delete(&self, app: &App) -> Result<(), ErrorCode> {
        delete_room(app, self.sender.user_id.get(), self.room_id.get()).await
    }
}

async fn list_rooms(app: &App, acting_user_id: i64) -> Result<Vec<i64>, ErrorCode> {
    let request = ListRoomsRequest { acting_user_id };
    let rooms = app.rooms.clone().list_rooms(request).await.map_err(code)?.into_inner().rooms;
    Ok(rooms.into_iter().map(|room| room.id).collect())
}

async fn create_room(app: &App, acting_user_id: i64) -> Result<(), ErrorCode> {
    let (name, member_ids) = (ROOM_NAME.to_owned(), Vec::new());
    let request = CreateRoomRequest { acting_user_id, name, member_ids };
    app.rooms.clone().create_room(request).await.map(drop).map_err(code)
}

async fn delete_room(app: &App, acting_user_id: i64, room_id: i64) -> Result<(), ErrorCode> {
    let request = DeleteRoomRequest { acting_user_id, room_id };
    match app.rooms.clone().delete_room(request).await.map_err(code) {
        // Another gateway has deleted it.
        Ok(_) | Err(ErrorCode::RoomNotFound) => Ok(()),
        Err(code) => Err(code),
    }
}

fn code(status: Status) -> ErrorCode {
    code_from_status(&status)
}
