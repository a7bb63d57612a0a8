//! The use cases, one a file: rules and transactions.

mod accept_invitation;
mod check_contact;
mod invite;
mod list_contacts;
mod reject_invitation;
pub(crate) mod system_rooms;
mod withdraw_invitation;

pub(crate) use accept_invitation::accept_invitation;
pub(crate) use check_contact::check_contact;
pub(crate) use invite::invite;
pub(crate) use list_contacts::list_contacts;
pub(crate) use reject_invitation::reject_invitation;
pub(crate) use withdraw_invitation::withdraw_invitation;
