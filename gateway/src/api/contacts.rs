//! Invitations and contacts.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use parlance_core::{ErrorCode, UserId};
use parlance_proto::contacts::{
    AcceptInvitationRequest, CheckContactRequest, InviteRequest, ListContactsRequest,
    ListContactsResponse, RejectInvitationRequest,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::dto::{Contact, Invitation};
use crate::api::extract::{Caller, JsonInput};
use crate::api::input::Input;
use crate::api::{Encoded, present};
use crate::app::App;
use crate::error::{ApiError, ErrorBody};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(invite))
        .routes(routes!(accept))
        .routes(routes!(reject))
        .routes(routes!(list))
        .routes(routes!(check))
}

/// Whom to invite.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the body; its fields are read one by one, so that all that is wrong is told"
)]
struct Invitee {
    /// The name, in any case.
    username: String,
}

/// Everything the caller has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Contacts<'a> {
    /// Invitations that the caller made and nobody has answered.
    #[schema(value_type = Vec<Invitation>)]
    sent_invitations: Vec<Invitation<'a>>,
    /// Invitations that the caller has not answered.
    #[schema(value_type = Vec<Invitation>)]
    received_invitations: Vec<Invitation<'a>>,
    /// The caller's contacts.
    #[schema(value_type = Vec<Contact>)]
    contacts: Vec<Contact<'a>>,
}

/// Whether somebody is a contact.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ContactCheck {
    /// The name as registered.
    username: String,
    /// Whether the two are contacts of each other.
    is_mutual_contact: bool,
}

/// Invites a user, or accepts the invitation that this user has sent before.
#[utoipa::path(
    post, path = "/v1/contacts/invite", tag = "contacts", security(("bearer" = [])),
    request_body = Invitee,
    responses(
        (status = 200, description = "The invitation that was made, or the opposite one that was accepted", body = Invitation),
        (status = 400, description = "`self_invitation`, `already_contacts`, `already_invited`", body = ErrorBody),
        (status = 404, description = "`user_not_found`", body = ErrorBody),
    ),
)]
async fn invite(
    State(app): State<App>,
    Caller(session): Caller,
    JsonInput(mut input): JsonInput,
) -> Result<Encoded, ApiError> {
    let Ok(username) = input.text("username") else { return Err(input.refusal()) };
    let invited = app.users.find_one(&username).await?.filter(|user| user.is_active);
    let invited = invited.ok_or(ErrorCode::UserNotFound)?;
    let users = app.users.by_ids([session.user_id, invited.id]).await?;

    let request =
        InviteRequest { acting_user_id: session.user_id.get(), invited_user_id: invited.id.get() };
    let answer = app.contacts.clone().invite(request).await?.into_inner();
    Encoded::of(&Invitation::join(&present(answer.invitation)?, &users)?)
}

/// Accepts an invitation: the two become contacts and share a system room.
#[utoipa::path(
    post, path = "/v1/contacts/{invitation_id}/accept", tag = "contacts", security(("bearer" = [])),
    params(("invitation_id" = i64, Path, minimum = 1)),
    responses(
        (status = 200, description = "The new contact", body = Contact),
        (status = 404, description = "`invitation_not_found`", body = ErrorBody),
    ),
)]
async fn accept(
    State(app): State<App>,
    Caller(session): Caller,
    mut input: Input,
) -> Result<Encoded, ApiError> {
    let Ok(invitation_id) = input.path_id("invitation_id") else { return Err(input.refusal()) };
    let request = AcceptInvitationRequest { acting_user_id: session.user_id.get(), invitation_id };
    let answer = app.contacts.clone().accept_invitation(request).await?.into_inner();
    let contact = present(answer.contact)?;
    let users = app.users.by_ids([UserId::new(contact.other_user_id)]).await?;
    Encoded::of(&Contact::join(&contact, &users)?)
}

/// Rejects an invitation.
#[utoipa::path(
    post, path = "/v1/contacts/{invitation_id}/reject", tag = "contacts", security(("bearer" = [])),
    params(("invitation_id" = i64, Path, minimum = 1)),
    responses(
        (status = 204, description = "The invitation is gone"),
        (status = 404, description = "`invitation_not_found`", body = ErrorBody),
    ),
)]
async fn reject(
    State(app): State<App>,
    Caller(session): Caller,
    mut input: Input,
) -> Result<StatusCode, ApiError> {
    let Ok(invitation_id) = input.path_id("invitation_id") else { return Err(input.refusal()) };
    let request = RejectInvitationRequest { acting_user_id: session.user_id.get(), invitation_id };
    app.contacts.clone().reject_invitation(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The caller's invitations and contacts.
#[utoipa::path(
    get, path = "/v1/contacts", tag = "contacts", security(("bearer" = [])),
    responses((status = 200, description = "All of them", body = Contacts)),
)]
async fn list(State(app): State<App>, Caller(session): Caller) -> Result<Encoded, ApiError> {
    let request = ListContactsRequest { acting_user_id: session.user_id.get() };
    let lists = app.contacts.clone().list_contacts(request).await?.into_inner();
    let users = app.users.by_ids(user_ids(&lists)).await?;

    let invitation = |invitation| Invitation::join(invitation, &users);
    Encoded::of(&Contacts {
        sent_invitations: lists.sent.iter().map(invitation).collect::<Result<_, _>>()?,
        received_invitations: lists.received.iter().map(invitation).collect::<Result<_, _>>()?,
        contacts: lists
            .contacts
            .iter()
            .map(|contact| Contact::join(contact, &users))
            .collect::<Result<_, _>>()?,
    })
}

fn user_ids(lists: &ListContactsResponse) -> impl Iterator<Item = UserId> {
    let invitations = lists.sent.iter().chain(&lists.received);
    let invited =
        invitations.flat_map(|invitation| [invitation.from_user_id, invitation.to_user_id]);
    invited.chain(lists.contacts.iter().map(|contact| contact.other_user_id)).map(UserId::new)
}

/// Whether the caller and another user are contacts.
#[utoipa::path(
    get, path = "/v1/contacts/check/{username}", tag = "contacts", security(("bearer" = [])),
    params(("username" = String, Path, description = "The name, in any case")),
    responses(
        (status = 200, description = "Whether they are; nobody is a contact of oneself", body = ContactCheck),
        (status = 404, description = "`user_not_found`", body = ErrorBody),
    ),
)]
async fn check(
    State(app): State<App>,
    Caller(session): Caller,
    input: Input,
) -> Result<Json<ContactCheck>, ApiError> {
    let other =
        app.users.find_one(&input.path_text("username")).await?.ok_or(ErrorCode::UserNotFound)?;
    let request = CheckContactRequest {
        acting_user_id: session.user_id.get(),
        other_user_id: other.id.get(),
    };
    let answer = app.contacts.clone().check_contact(request).await?.into_inner();
    Ok(Json(ContactCheck {
        username: other.username.clone(),
        is_mutual_contact: answer.are_contacts,
    }))
}
