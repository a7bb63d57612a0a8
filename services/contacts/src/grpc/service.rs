//! The methods of `ContactsService`, one use case each.

use parlance_core::UserId;
use parlance_proto::contacts::contacts_service_server::ContactsService;
use parlance_proto::contacts::{
    AcceptInvitationRequest, AcceptInvitationResponse, CheckContactRequest, CheckContactResponse,
    InviteRequest, InviteResponse, ListContactsRequest, ListContactsResponse,
    RejectInvitationRequest, RejectInvitationResponse, WithdrawInvitationRequest,
    WithdrawInvitationResponse,
};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::model::PairId;
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
impl ContactsService for Service {
    async fn invite(&self, request: Request<InviteRequest>) -> Reply<InviteResponse> {
        let InviteRequest { acting_user_id, invited_user_id } = request.into_inner();
        let (acting_user, invited) = (UserId::new(acting_user_id), UserId::new(invited_user_id));
        let invitation = ops::invite(&self.app, acting_user, invited).await?;
        Ok(Response::new(InviteResponse { invitation: Some(invitation.into()) }))
    }

    async fn accept_invitation(
        &self,
        request: Request<AcceptInvitationRequest>,
    ) -> Reply<AcceptInvitationResponse> {
        let AcceptInvitationRequest { acting_user_id, invitation_id } = request.into_inner();
        let (acting_user, id) = (UserId::new(acting_user_id), PairId(invitation_id));
        let contact = ops::accept_invitation(&self.app, acting_user, id).await?;
        Ok(Response::new(AcceptInvitationResponse { contact: Some(contact.into()) }))
    }

    async fn reject_invitation(
        &self,
        request: Request<RejectInvitationRequest>,
    ) -> Reply<RejectInvitationResponse> {
        let RejectInvitationRequest { acting_user_id, invitation_id } = request.into_inner();
        let (acting_user, id) = (UserId::new(acting_user_id), PairId(invitation_id));
        ops::reject_invitation(&self.app, acting_user, id).await?;
        Ok(Response::new(RejectInvitationResponse {}))
    }

    async fn withdraw_invitation(
        &self,
        request: Request<WithdrawInvitationRequest>,
    ) -> Reply<WithdrawInvitationResponse> {
        let WithdrawInvitationRequest { acting_user_id, invitation_id } = request.into_inner();
        let (acting_user, id) = (UserId::new(acting_user_id), PairId(invitation_id));
        ops::withdraw_invitation(&self.app, acting_user, id).await?;
        Ok(Response::new(WithdrawInvitationResponse {}))
    }

    async fn list_contacts(
        &self,
        request: Request<ListContactsRequest>,
    ) -> Reply<ListContactsResponse> {
        let acting_user = UserId::new(request.into_inner().acting_user_id);
        Ok(Response::new(ops::list_contacts(&self.app, acting_user).await?.into()))
    }

    async fn check_contact(
        &self,
        request: Request<CheckContactRequest>,
    ) -> Reply<CheckContactResponse> {
        let CheckContactRequest { acting_user_id, other_user_id } = request.into_inner();
        let (acting_user, other) = (UserId::new(acting_user_id), UserId::new(other_user_id));
        let are_contacts = ops::check_contact(&self.app, acting_user, other).await?;
        Ok(Response::new(CheckContactResponse { are_contacts }))
    }
}
