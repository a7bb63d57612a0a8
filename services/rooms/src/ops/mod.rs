//! The use cases, one a file: rules and transactions.
//!
//! Whoever changes the members of a room locks the room's row first, so that changes of one room
//! happen one after the other, each with its own number.

mod add_members;
mod admission;
mod authority;
mod check_memberships;
mod create_room;
mod delete_room;
mod end_membership;
mod ensure_system_room;
mod get_room;
mod leave_room;
mod list_rooms;
mod remove_member;
pub(crate) mod trim_membership_log;
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
pub(crate) use watch_memberships::watch_memberships;
