//! Rooms and their members.

mod changes;
mod members;

use http::StatusCode;
use parlance_core::{RoomId, RoomName, UserId};
use parlance_proto::rooms::{
    self, AddMembersRequest, CreateRoomRequest, DeleteRoomRequest, GetRoomRequest,
    LeaveRoomRequest, ListRoomsRequest, RemoveMemberRequest,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::dto::Room;
use crate::api::extract::{Caller, Valid};
use crate::api::input::PathUsername;
use crate::api::request_body::request_body;
use crate::api::response::{Encoded, required};
use crate::api::rooms::members::{Candidates, Skipped};
use crate::app::App;
use crate::error::ApiError;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, delete, changes::rename))
        .routes(routes!(changes::set_owner))
        .routes(routes!(add_members))
        .routes(routes!(remove_member))
        .routes(routes!(leave))
}

request_body! {
    /// A room to make.
    struct NewRoom {
        /// The name, kept as sent.
        #[schema(value_type = String, min_length = 1, max_length = 255)]
        name: RoomName = parsed(RoomName::parse),
        /// Contacts of the caller who become members.
        #[schema(required = false)]
        member_usernames: Vec<String> = texts(0),
    }
}

request_body! {
    /// The users to add to a room.
    struct NewMembers {
        /// Contacts of the caller.
        #[schema(min_items = 1)]
        usernames: Vec<String> = texts(1),
    }
}

/// The caller's rooms.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rooms<'a> {
    /// System rooms included.
    rooms: Vec<Room<'a>>,
}

/// A room and the users who were not added to it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RoomWithSkipped<'a> {
    #[serde(flatten)]
    room: Room<'a>,
    /// The users who were not added, in the order of the request.
    skipped: Vec<Skipped>,
}

/// Makes a room. The caller owns it.
#[utoipa::path(
    post, path = "/v1/rooms", tag = "rooms", security(("bearer" = [])),
    request_body = NewRoom,
    responses((status = 201, description = "The room was made", body = RoomWithSkipped)),
)]
async fn create(
    caller: Caller,
    Valid(body): Valid<NewRoom>,
) -> Result<(StatusCode, Encoded), ApiError> {
    let candidates = Candidates::look_up(&caller.app.users, &body.member_usernames).await?;
    let request = CreateRoomRequest {
        acting_user_id: caller.id(),
        name: body.name.into_string(),
        member_ids: candidates.user_ids(),
    };
    let answer = caller.app.rooms.clone().create_room(request).await?.into_inner();
    let skipped = candidates.skipped(&answer.skipped);
    Ok((StatusCode::CREATED, room_with_skipped(&caller.app, answer.room, skipped).await?))
}

/// Lists the rooms of which the caller is a member.
#[utoipa::path(
    get, path = "/v1/rooms", tag = "rooms", security(("bearer" = [])),
    responses((status = 200, description = "All of them", body = Rooms)),
)]
async fn list(caller: Caller) -> Result<Encoded, ApiError> {
    let request = ListRoomsRequest { acting_user_id: caller.id() };
    let found = caller.app.rooms.clone().list_rooms(request).await?.into_inner().rooms;
    let users = caller.app.users.by_ids(found.iter().flat_map(user_ids)).await?;
    let rooms = found.iter().map(|room| Room::join(room, &users)).collect::<Result<_, _>>()?;
    Encoded::new(&Rooms { rooms })
}

/// Returns a room.
#[utoipa::path(
    get, path = "/v1/rooms/{room_id}", tag = "rooms", security(("bearer" = [])),
    params(("room_id" = i64, Path, minimum = 1)),
    responses(
        (status = 200, description = "The room", body = Room),
        (status = 403, description = "`not_a_member`"),
        (status = 404, description = "`room_not_found`"),
    ),
)]
async fn show(caller: Caller, Valid(room_id): Valid<RoomId>) -> Result<Encoded, ApiError> {
    let request = GetRoomRequest { acting_user_id: caller.id(), room_id: room_id.get() };
    let answer = caller.app.rooms.clone().get_room(request).await?.into_inner();
    encode(&caller.app, answer.room).await
}

async fn encode(app: &App, room: Option<rooms::Room>) -> Result<Encoded, ApiError> {
    let room = required(room)?;
    let users = app.users.by_ids(user_ids(&room)).await?;
    Encoded::new(&Room::join(&room, &users)?)
}

/// Adds contacts of the owner to a room.
#[utoipa::path(
    post, path = "/v1/rooms/{room_id}/members", tag = "rooms", security(("bearer" = [])),
    params(("room_id" = i64, Path, minimum = 1)),
    request_body = NewMembers,
    responses(
        (status = 200, description = "The room afterwards", body = RoomWithSkipped),
        (status = 403, description = "`system_room`, `not_the_owner`"),
        (status = 404, description = "`room_not_found`"),
    ),
)]
async fn add_members(
    caller: Caller,
    Valid((room_id, body)): Valid<(RoomId, NewMembers)>,
) -> Result<Encoded, ApiError> {
    let candidates = Candidates::look_up(&caller.app.users, &body.usernames).await?;
    // The call is made without candidates, too: rooms may refuse the caller.
    let request = AddMembersRequest {
        acting_user_id: caller.id(),
        room_id: room_id.get(),
        member_ids: candidates.user_ids(),
    };
    let answer = caller.app.rooms.clone().add_members(request).await?.into_inner();
    room_with_skipped(&caller.app, answer.room, candidates.skipped(&answer.skipped)).await
}

async fn room_with_skipped(
    app: &App,
    room: Option<rooms::Room>,
    skipped: Vec<Skipped>,
) -> Result<Encoded, ApiError> {
    let room = required(room)?;
    let users = app.users.by_ids(user_ids(&room)).await?;
    Encoded::new(&RoomWithSkipped { room: Room::join(&room, &users)?, skipped })
}

/// Removes a member. The caller must own the room.
#[utoipa::path(
    delete, path = "/v1/rooms/{room_id}/members/{username}", tag = "rooms",
    security(("bearer" = [])),
    params(
        ("room_id" = i64, Path, minimum = 1),
        ("username" = String, Path, description = "The name, in any case"),
    ),
    responses(
        (status = 204, description = "The membership has ended"),
        (status = 403, description = "`system_room`, `not_the_owner`, `owner_cannot_leave`"),
        (status = 404, description = "`room_not_found`, `user_not_found`, `not_a_member`"),
    ),
)]
async fn remove_member(
    caller: Caller,
    Valid((room_id, PathUsername(username))): Valid<(RoomId, PathUsername)>,
) -> Result<StatusCode, ApiError> {
    let member = caller.app.users.find_one(&username).await?;
    let request = RemoveMemberRequest {
        acting_user_id: caller.id(),
        room_id: room_id.get(),
        member_id: member.map(|user| user.id.get()),
    };
    caller.app.rooms.clone().remove_member(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the caller's membership.
#[utoipa::path(
    post, path = "/v1/rooms/{room_id}/leave", tag = "rooms", security(("bearer" = [])),
    params(("room_id" = i64, Path, minimum = 1)),
    responses(
        (status = 204, description = "The membership has ended"),
        (status = 403, description = "`system_room`, `owner_cannot_leave`"),
        (status = 404, description = "`room_not_found`, `not_a_member`"),
    ),
)]
async fn leave(caller: Caller, Valid(room_id): Valid<RoomId>) -> Result<StatusCode, ApiError> {
    let request = LeaveRoomRequest { acting_user_id: caller.id(), room_id: room_id.get() };
    caller.app.rooms.clone().leave_room(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a room and its messages. The caller must own the room.
#[utoipa::path(
    delete, path = "/v1/rooms/{room_id}", tag = "rooms", security(("bearer" = [])),
    params(("room_id" = i64, Path, minimum = 1)),
    responses(
        (status = 204, description = "The room was deleted"),
        (status = 403, description = "`system_room`, `not_the_owner`"),
        (status = 404, description = "`room_not_found`"),
    ),
)]
async fn delete(caller: Caller, Valid(room_id): Valid<RoomId>) -> Result<StatusCode, ApiError> {
    let request = DeleteRoomRequest { acting_user_id: caller.id(), room_id: room_id.get() };
    caller.app.rooms.clone().delete_room(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn user_ids(room: &rooms::Room) -> impl Iterator<Item = UserId> {
    room.owner_id
        .into_iter()
        .chain(room.members.iter().map(|member| member.user_id))
        .map(UserId::new)
}
