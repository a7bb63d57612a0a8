//! Invitations and contacts.

use axum::Json;
use http::StatusCode;
use parlance_core::{ErrorCode, UserId};
use parlance_proto::contacts::{
    AcceptInvitationRequest, CheckContactRequest, InviteRequest, ListContactsRequest,
    ListContactsResponse, RejectInvitationRequest, WithdrawInvitationRequest,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::dto::{Contact, Invitation};
use crate::api::extract::{Caller, Valid};
use crate::api::input::{FromInput, Input, Invalid, PathUsername};
use crate::api::request_body::request_body;
use crate::api::response::{Encoded, required};
use crate::app::App;
use crate::error::ApiError;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(invite))
        .routes(routes!(accept))
        .routes(routes!(reject))
        .routes(routes!(withdraw))
        .routes(routes!(list))
        .routes(routes!(check))
}

request_body! {
    /// The user to invite.
    struct Invitee {
        /// The name, in any case.
        username: String = text(),
    }
}

/// The invitation in the path.
struct InvitationId(i64);

impl FromInput for InvitationId {
    fn from_input(input: &mut Input) -> Result<Self, Invalid> {
        input.path_id("invitation_id").map(Self)
    }
}

/// The caller's invitations and contacts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Contacts<'a> {
    /// Unanswered invitations from the caller.
    sent_invitations: Vec<Invitation<'a>>,
    /// Unanswered invitations to the caller.
    received_invitations: Vec<Invitation<'a>>,
    /// The caller's contacts.
    contacts: Vec<Contact<'a>>,
}

/// The answer to the question whether a user is a contact.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ContactCheck {
    /// The name as registered.
    username: String,
    /// True if the two users are contacts of each other.
    is_mutual_contact: bool,
}

/// Invites a user, or accepts the invitation that this user has already sent.
#[utoipa::path(
    post, path = "/v1/contacts/invite", tag = "contacts", security(("bearer" = [])),
    request_body = Invitee,
    responses(
        (status = 200, description = "The invitation, new or accepted", body = Invitation),
        (status = 400, description = "`self_invitation`, `already_contacts`, `already_invited`"),
        (status = 403, description = "`too_many_invitations`"),
        (status = 404, description = "`user_not_found`"),
    ),
)]
async fn invite(caller: Caller, Valid(body): Valid<Invitee>) -> Result<Encoded, ApiError> {
    let invited = caller.app.users.find_one(&body.username).await?.filter(|user| user.is_active);
    let invited = invited.ok_or(ErrorCode::UserNotFound)?;
    let users = caller.app.users.by_ids([caller.identity.user_id, invited.id]).await?;

    let request = InviteRequest { acting_user_id: caller.id(), invited_user_id: invited.id.get() };
    let answer = caller.app.contacts.clone().invite(request).await?.into_inner();
    Encoded::new(&Invitation::join(&required(answer.invitation)?, &users)?)
}

/// Accepts an invitation. The two users become contacts and share a system room.
#[utoipa::path(
    post, path = "/v1/contacts/{invitation_id}/accept", tag = "contacts", security(("bearer" = [])),
    params(("invitation_id" = i64, Path, minimum = 1)),
    responses(
        (status = 200, description = "The new contact", body = Contact),
        (status = 404, description = "`invitation_not_found`"),
    ),
)]
async fn accept(caller: Caller, Valid(id): Valid<InvitationId>) -> Result<Encoded, ApiError> {
    let request = AcceptInvitationRequest { acting_user_id: caller.id(), invitation_id: id.0 };
    let answer = caller.app.contacts.clone().accept_invitation(request).await?.into_inner();
    let contact = required(answer.contact)?;
    let users = caller.app.users.by_ids([UserId::new(contact.other_user_id)]).await?;
    Encoded::new(&Contact::join(&contact, &users)?)
}

/// Rejects an invitation.
#[utoipa::path(
    post, path = "/v1/contacts/{invitation_id}/reject", tag = "contacts", security(("bearer" = [])),
    params(("invitation_id" = i64, Path, minimum = 1)),
    responses(
        (status = 204, description = "The invitation was deleted"),
        (status = 404, description = "`invitation_not_found`"),
    ),
)]
async fn reject(caller: Caller, Valid(id): Valid<InvitationId>) -> Result<StatusCode, ApiError> {
    let request = RejectInvitationRequest { acting_user_id: caller.id(), invitation_id: id.0 };
    caller.app.contacts.clone().reject_invitation(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes back an invitation that the caller has sent.
#[utoipa::path(
    delete, path = "/v1/contacts/invitations/{invitation_id}", tag = "contacts",
    security(("bearer" = [])),
    params(("invitation_id" = i64, Path, minimum = 1)),
    responses(
        (status = 204, description = "The invitation was deleted"),
        (status = 404, description = "`invitation_not_found`"),
    ),
)]
async fn withdraw(caller: Caller, Valid(id): Valid<InvitationId>) -> Result<StatusCode, ApiError> {
    let request = WithdrawInvitationRequest { acting_user_id: caller.id(), invitation_id: id.0 };
    caller.app.contacts.clone().withdraw_invitation(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the caller's invitations and contacts.
#[utoipa::path(
    get, path = "/v1/contacts", tag = "contacts", security(("bearer" = [])),
    responses((status = 200, description = "All of them", body = Contacts)),
)]
async fn list(caller: Caller) -> Result<Encoded, ApiError> {
    let request = ListContactsRequest { acting_user_id: caller.id() };
    let lists = caller.app.contacts.clone().list_contacts(request).await?.into_inner();
    let users = caller.app.users.by_ids(user_ids(&lists)).await?;

    let invitation = |invitation| Invitation::join(invitation, &users);
    let contact = |contact| Contact::join(contact, &users);
    Encoded::new(&Contacts {
        sent_invitations: lists.sent.iter().map(invitation).collect::<Result<_, _>>()?,
        received_invitations: lists.received.iter().map(invitation).collect::<Result<_, _>>()?,
        contacts: lists.contacts.iter().map(contact).collect::<Result<_, _>>()?,
    })
}

fn user_ids(lists: &ListContactsResponse) -> impl Iterator<Item = UserId> {
    let invitations = lists.sent.iter().chain(&lists.received);
    let invited =
        invitations.flat_map(|invitation| [invitation.from_user_id, invitation.to_user_id]);
    invited.chain(lists.contacts.iter().map(|contact| contact.other_user_id)).map(UserId::new)
}

/// Tells whether the caller and another user are contacts.
#[utoipa::path(
    get, path = "/v1/contacts/check/{username}", tag = "contacts", security(("bearer" = [])),
    params(("username" = String, Path, description = "The name, in any case")),
    responses(
        (status = 200, description = "False for the caller as well", body = ContactCheck),
        (status = 404, description = "`user_not_found`"),
    ),
)]
async fn check(
    caller: Caller,
    Valid(PathUsername(username)): Valid<PathUsername>,
) -> Result<Json<ContactCheck>, ApiError> {
    let other = caller.app.users.find_one(&username).await?.ok_or(ErrorCode::UserNotFound)?;
    let request =
        CheckContactRequest { acting_user_id: caller.id(), other_user_id: other.id.get() };
    let answer = caller.app.contacts.clone().check_contact(request).await?.into_inner();
    Ok(Json(ContactCheck {
        username: other.username.clone(),
        is_mutual_contact: answer.are_contacts,
    }))
}
