//! Messages over REST: sending, history, editing, deleting.

mod calls;
mod changes;
mod history;
mod sending;
