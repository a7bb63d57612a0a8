//! Changes of a room by its owner.

use parlance_core::{RoomId, RoomName};
use parlance_proto::rooms::{RenameRoomRequest, SetOwnerRequest};

use crate::api::dto::Room;
use crate::api::extract::{Caller, Valid};
use crate::api::request_body::request_body;
use crate::api::response::Encoded;
use crate::api::rooms::encode;
use crate::error::ApiError;

request_body! {
    /// The new name of a room.
    pub(in crate::api) struct NewName {
        /// The name, kept as sent.
        #[schema(value_type = String, min_length = 1, max_length = 255)]
        name: RoomName = parsed(RoomName::parse),
    }
}

request_body! {
    /// The new owner of a room.
    pub(in crate::api) struct NewOwner {
        /// The name of a member, in any case.
        username: String = text(),
    }
}

/// Renames a room. The caller must own it.
#[utoipa::path(
    patch, path = "/v1/rooms/{room_id}", tag = "rooms", security(("bearer" = [])),
    params(("room_id" = i64, Path, minimum = 1)),
    request_body = NewName,
    responses(
        (status = 200, description = "The room afterwards", body = Room),
        (status = 403, description = "`system_room`, `not_the_owner`"),
        (status = 404, description = "`room_not_found`"),
    ),
)]
pub(super) async fn rename(
    caller: Caller,
    Valid((room_id, body)): Valid<(RoomId, NewName)>,
) -> Result<Encoded, ApiError> {
    let request = RenameRoomRequest {
        acting_user_id: caller.id(),
        room_id: room_id.get(),
        name: body.name.into_string(),
    };
    let answer = caller.app.rooms.clone().rename_room(request).await?.into_inner();
    encode(&caller.app, answer.room).await
}

/// Hands a room over to a member. The caller must own it, and stays a member.
#[utoipa::path(
    put, path = "/v1/rooms/{room_id}/owner", tag = "rooms", security(("bearer" = [])),
    params(("room_id" = i64, Path, minimum = 1)),
    request_body = NewOwner,
    responses(
        (status = 200, description = "The room afterwards", body = Room),
        (status = 403, description = "`system_room`, `not_the_owner`"),
        (status = 404, description = "`room_not_found`, `user_not_found`, `not_a_member`"),
    ),
)]
pub(super) async fn set_owner(
    caller: Caller,
    Valid((room_id, body)): Valid<(RoomId, NewOwner)>,
) -> Result<Encoded, ApiError> {
    let owner = caller.app.users.find_one(&body.username).await?;
    // The call is made without a user, too: rooms may refuse the caller.
    let request = SetOwnerRequest {
        acting_user_id: caller.id(),
        room_id: room_id.get(),
        owner_id: owner.map(|user| user.id.get()),
    };
    let answer = caller.app.rooms.clone().set_owner(request).await?.into_inner();
    encode(&caller.app, answer.room).await
}
