//! Decodes requests, calls the use case, encodes its answer. The only place that knows the
//! generated types of this service.

use parlance_core::UserId;
use parlance_proto::contacts as proto;
use parlance_proto::contacts::contacts_service_server::ContactsService;
use parlance_runtime::error::status;
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::error::Error;
use crate::model::{Contact, Invitation, PairId};
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
impl ContactsService for Api {
    async fn invite(
        &self,
        request: Request<proto::InviteRequest>,
    ) -> Result<Response<proto::InviteResponse>, Status> {
        let request = request.into_inner();
        let (acting_user, invited) =
            (UserId::new(request.acting_user_id), UserId::new(request.invited_user_id));
        let invitation = ops::invite(&self.app, acting_user, invited).await?;
        Ok(Response::new(proto::InviteResponse { invitation: Some(invitation.into()) }))
    }

    async fn accept_invitation(
        &self,
        request: Request<proto::AcceptInvitationRequest>,
    ) -> Result<Response<proto::AcceptInvitationResponse>, Status> {
        let request = request.into_inner();
        let (acting_user, id) =
            (UserId::new(request.acting_user_id), PairId(request.invitation_id));
        let contact = ops::accept_invitation(&self.app, acting_user, id).await?;
        Ok(Response::new(proto::AcceptInvitationResponse { contact: Some(contact.into()) }))
    }

    async fn reject_invitation(
        &self,
        request: Request<proto::RejectInvitationRequest>,
    ) -> Result<Response<proto::RejectInvitationResponse>, Status> {
        let request = request.into_inner();
        let (acting_user, id) =
            (UserId::new(request.acting_user_id), PairId(request.invitation_id));
        ops::reject_invitation(&self.app, acting_user, id).await?;
        Ok(Response::new(proto::RejectInvitationResponse {}))
    }

    async fn list_contacts(
        &self,
        request: Request<proto::ListContactsRequest>,
    ) -> Result<Response<proto::ListContactsResponse>, Status> {
        let acting_user = UserId::new(request.into_inner().acting_user_id);
        let overview = ops::list_contacts(&self.app, acting_user).await?;
        Ok(Response::new(proto::ListContactsResponse {
            sent: overview.sent.into_iter().map(proto::Invitation::from).collect(),
            received: overview.received.into_iter().map(proto::Invitation::from).collect(),
            contacts: overview.contacts.into_iter().map(proto::Contact::from).collect(),
        }))
    }

    async fn check_contact(
        &self,
        request: Request<proto::CheckContactRequest>,
    ) -> Result<Response<proto::CheckContactResponse>, Status> {
        let request = request.into_inner();
        let (acting_user, other) =
            (UserId::new(request.acting_user_id), UserId::new(request.other_user_id));
        let are_contacts = ops::check_contact(&self.app, acting_user, other).await?;
        Ok(Response::new(proto::CheckContactResponse { are_contacts }))
    }
}

impl From<Invitation> for proto::Invitation {
    fn from(invitation: Invitation) -> Self {
        Self {
            id: invitation.id.0,
            from_user_id: invitation.from.get(),
            to_user_id: invitation.to.get(),
            created_at_us: invitation.created_at.as_micros(),
            updated_at_us: invitation.created_at.as_micros(),
        }
    }
}

impl From<Contact> for proto::Contact {
    fn from(contact: Contact) -> Self {
        Self {
            id: contact.id.0,
            other_user_id: contact.other.get(),
            created_at_us: contact.created_at.as_micros(),
            updated_at_us: contact.created_at.as_micros(),
        }
    }
}
