//! Conversions from the types of the service to the generated ones.

use parlance_proto::contacts as proto;

use crate::model::{Contact, Invitation, Overview};

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

impl From<Overview> for proto::ListContactsResponse {
    fn from(overview: Overview) -> Self {
        Self {
            sent: overview.sent.into_iter().map(Into::into).collect(),
            received: overview.received.into_iter().map(Into::into).collect(),
            contacts: overview.contacts.into_iter().map(Into::into).collect(),
        }
    }
}
