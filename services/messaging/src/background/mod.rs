//! Tasks that run for as long as the process lives.

pub(crate) mod compare_rooms;
pub(crate) mod log_poller;
pub(crate) mod membership_ends;
pub(crate) mod purge;
pub(crate) mod trim;
