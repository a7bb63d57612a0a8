//! Rooms and their members.

mod members;

use axum::extract::State;
use http::StatusCode;
use parlance_core::{RoomName, UserId};
use parlance_proto::rooms::{
    self, AddMembersRequest, CreateRoomRequest, DeleteRoomRequest, GetRoomRequest,
    LeaveRoomRequest, ListRoomsRequest, RemoveMemberRequest,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::dto::Room;
use crate::api::extract::{Caller, JsonInput};
use crate::api::input::Input;
use crate::api::rooms::members::{Candidates, Skipped};
use crate::api::{Encoded, present};
use crate::app::App;
use crate::error::{ApiError, ErrorBody};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, delete))
        .routes(routes!(add_members))
        .routes(routes!(remove_member))
        .routes(routes!(leave))
}

/// A room to be made.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the body; its fields are read one by one, so that all that is wrong is told"
)]
struct NewRoom {
    /// The name, kept as sent.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// Contacts of the caller who shall be members, too.
    #[schema(nullable = false, value_type = Vec<String>, required = false)]
    member_usernames: Vec<String>,
}

/// Who shall be added.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the body; its fields are read one by one, so that all that is wrong is told"
)]
struct NewMembers {
    /// Contacts of the caller.
    #[schema(min_items = 1)]
    usernames: Vec<String>,
}

/// The caller's rooms.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rooms<'a> {
    /// System rooms included.
    #[schema(value_type = Vec<Room>)]
    rooms: Vec<Room<'a>>,
}

/// A room, and who was not added to it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RoomWithSkipped<'a> {
    #[serde(flatten)]
    #[schema(value_type = Room)]
    room: Room<'a>,
    /// Who was not added, in the order of the request.
    skipped: Vec<Skipped>,
}

/// Makes a room, which the caller owns.
#[utoipa::path(
    post, path = "/v1/rooms", tag = "rooms", security(("bearer" = [])),
    request_body = NewRoom,
    responses((status = 201, description = "The room was made", body = RoomWithSkipped)),
)]
async fn create(
    State(app): State<App>,
    Caller(session): Caller,
    JsonInput(mut input): JsonInput,
) -> Result<(StatusCode, Encoded), ApiError> {
    let name = input.parsed("name", RoomName::parse);
    let usernames = input.texts("member_usernames", 0);
    let (Ok(name), Ok(usernames)) = (name, usernames) else { return Err(input.refusal()) };

    let candidates = Candidates::look_up(&app.users, &usernames).await?;
    let request = CreateRoomRequest {
        acting_user_id: session.user_id.get(),
        name: name.into_string(),
        member_ids: candidates.user_ids(),
    };
    let answer = app.rooms.clone().create_room(request).await?.into_inner();
    let (room, skipped) = (present(answer.room)?, candidates.skipped(&answer.skipped));
    let users = app.users.by_ids(user_ids(&room)).await?;
    let room = Room::join(&room, &users)?;
    Ok((StatusCode::CREATED, Encoded::of(&RoomWithSkipped { room, skipped })?))
}

/// The rooms in which the caller is a member.
#[utoipa::path(
    get, path = "/v1/rooms", tag = "rooms", security(("bearer" = [])),
    responses((status = 200, description = "All of them", body = Rooms)),
)]
async fn list(State(app): State<App>, Caller(session): Caller) -> Result<Encoded, ApiError> {
    let request = ListRoomsRequest { acting_user_id: session.user_id.get() };
    let found = app.rooms.clone().list_rooms(request).await?.into_inner().rooms;
    let users = app.users.by_ids(found.iter().flat_map(user_ids)).await?;
    let rooms = found.iter().map(|room| Room::join(room, &users)).collect::<Result<_, _>>()?;
    Encoded::of(&Rooms { rooms })
}

/// One room.
#[utoipa::path(
    get, path = "/v1/rooms/{room_id}", tag = "rooms", security(("bearer" = [])),
    params(("room_id" = i64, Path, minimum = 1)),
    responses(
        (status = 200, description = "The room", body = Room),
        (status = 403, description = "`not_a_member`", body = ErrorBody),
        (status = 404, description = "`room_not_found`", body = ErrorBody),
    ),
)]
async fn show(
    State(app): State<App>,
    Caller(session): Caller,
    mut input: Input,
) -> Result<Encoded, ApiError> {
    let Ok(room_id) = input.room_id() else { return Err(input.refusal()) };
    let request = GetRoomRequest { acting_user_id: session.user_id.get(), room_id: room_id.get() };
    let answer = app.rooms.clone().get_room(request).await?.into_inner();
    let room = present(answer.room)?;
    let users = app.users.by_ids(user_ids(&room)).await?;
    Encoded::of(&Room::join(&room, &users)?)
}

/// Adds contacts of the owner.
#[utoipa::path(
    post, path = "/v1/rooms/{room_id}/members", tag = "rooms", security(("bearer" = [])),
    params(("room_id" = i64, Path, minimum = 1)),
    request_body = NewMembers,
    responses(
        (status = 200, description = "The room afterwards", body = RoomWithSkipped),
        (status = 403, description = "`system_room`, `not_the_owner`", body = ErrorBody),
        (status = 404, description = "`room_not_found`", body = ErrorBody),
    ),
)]
async fn add_members(
    State(app): State<App>,
    Caller(session): Caller,
    JsonInput(mut input): JsonInput,
) -> Result<Encoded, ApiError> {
    let (room_id, usernames) = (input.room_id(), input.texts("usernames", 1));
    let (Ok(room_id), Ok(usernames)) = (room_id, usernames) else { return Err(input.refusal()) };

    let candidates = Candidates::look_up(&app.users, &usernames).await?;
    // Also with nobody left to add: the room may refuse the caller.
    let request = AddMembersRequest {
        acting_user_id: session.user_id.get(),
        room_id: room_id.get(),
        member_ids: candidates.user_ids(),
    };
    let answer = app.rooms.clone().add_members(request).await?.into_inner();
    let (room, skipped) = (present(answer.room)?, candidates.skipped(&answer.skipped));
    let users = app.users.by_ids(user_ids(&room)).await?;
    Encoded::of(&RoomWithSkipped { room: Room::join(&room, &users)?, skipped })
}

/// Removes a member, as the owner.
#[utoipa::path(
    delete, path = "/v1/rooms/{room_id}/members/{username}", tag = "rooms", security(("bearer" = [])),
    params(
        ("room_id" = i64, Path, minimum = 1),
        ("username" = String, Path, description = "The name, in any case"),
    ),
    responses(
        (status = 204, description = "The membership has ended"),
        (status = 403, description = "`system_room`, `not_the_owner`, `owner_cannot_leave`", body = ErrorBody),
        (status = 404, description = "`room_not_found`, `user_not_found`, `not_a_member`", body = ErrorBody),
    ),
)]
async fn remove_member(
    State(app): State<App>,
    Caller(session): Caller,
    mut input: Input,
) -> Result<StatusCode, ApiError> {
    let Ok(room_id) = input.room_id() else { return Err(input.refusal()) };
    let member = app.users.find_one(&input.path_text("username")).await?;
    let request = RemoveMemberRequest {
        acting_user_id: session.user_id.get(),
        room_id: room_id.get(),
        member_id: member.map(|user| user.id.get()),
    };
    app.rooms.clone().remove_member(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the caller's own membership.
#[utoipa::path(
    post, path = "/v1/rooms/{room_id}/leave", tag = "rooms", security(("bearer" = [])),
    params(("room_id" = i64, Path, minimum = 1)),
    responses(
        (status = 204, description = "The membership has ended"),
        (status = 403, description = "`system_room`, `owner_cannot_leave`", body = ErrorBody),
        (status = 404, description = "`room_not_found`, `not_a_member`", body = ErrorBody),
    ),
)]
async fn leave(
    State(app): State<App>,
    Caller(session): Caller,
    mut input: Input,
) -> Result<StatusCode, ApiError> {
    let Ok(room_id) = input.room_id() else { return Err(input.refusal()) };
    let request =
        LeaveRoomRequest { acting_user_id: session.user_id.get(), room_id: room_id.get() };
    app.rooms.clone().leave_room(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a room with everything in it, as its owner.
#[utoipa::path(
    delete, path = "/v1/rooms/{room_id}", tag = "rooms", security(("bearer" = [])),
    params(("room_id" = i64, Path, minimum = 1)),
    responses(
        (status = 204, description = "The room is gone"),
        (status = 403, description = "`system_room`, `not_the_owner`", body = ErrorBody),
        (status = 404, description = "`room_not_found`", body = ErrorBody),
    ),
)]
async fn delete(
    State(app): State<App>,
    Caller(session): Caller,
    mut input: Input,
) -> Result<StatusCode, ApiError> {
    let Ok(room_id) = input.room_id() else { return Err(input.refusal()) };
    let request =
        DeleteRoomRequest { acting_user_id: session.user_id.get(), room_id: room_id.get() };
    app.rooms.clone().delete_room(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn user_ids(room: &rooms::Room) -> impl Iterator<Item = UserId> {
    room.owner_id
        .into_iter()
        .chain(room.members.iter().map(|member| member.user_id))
        .map(UserId::new)
}
