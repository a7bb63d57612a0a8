//! The use cases, one file each.

mod change_message;
mod delete_message;
mod edit_message;
mod read_changes;
mod read_history;
pub(crate) mod send_messages;
mod show_typing;
mod subscribe;

pub(crate) use self::delete_message::delete_message;
pub(crate) use self::edit_message::edit_message;
pub(crate) use self::read_changes::read_changes;
pub(crate) use self::read_history::read_history;
pub(crate) use self::show_typing::show_typing;
pub(crate) use self::subscribe::{subscribe, unsubscribe_unused};
