//! The use cases, one a file: rules and transactions.
//!
//! A use case that changes a room or its members waits for its turn and locks the row of the room
//! first. Changes of one room then happen one after the other, each with its own room version.

mod add_contacts;
mod add_members;
mod check_memberships;
mod create_room;
mod delete_room;
mod end_membership;
mod ensure_system_room;
mod get_room;
mod leave_room;
mod list_rooms;
mod lock_room;
mod remove_member;
mod rename_room;
mod set_owner;
mod watch_memberships;

pub(crate) use add_members::add_members;
pub(crate) use check_memberships::check_memberships;
pub(crate) use create_room::create_room;
pub(crate) use delete_room::delete_room;
pub(crate) use ensure_system_room::ensure_system_room;
pub(crate) use get_room::get_room;
pub(crate) use leave_room::leave_room;
pub(crate) use list_rooms::list_rooms;
pub(crate) use remove_member::remove_member;
pub(crate) use rename_room::rename_room;
pub(crate) use set_owner::set_owner;
pub(crate) use watch_memberships::watch_memberships;
