//! The use cases, a file for each. Sending is not here: its way is the [`writer`](crate::writer).

mod change_message;
mod read_changes;
mod read_history;
mod show_typing;
mod subscribe;

pub(crate) use change_message::{delete_message, edit_message};
pub(crate) use read_changes::read_changes;
pub(crate) use read_history::read_history;
pub(crate) use show_typing::show_typing;
pub(crate) use subscribe::{release, subscribe};
